// Where a life of a flow ends: before or after what it receives, maps, applies, commits, acknowledges.
// A crash is a lost session, with a statement under way or between two, and nothing in memory survives.
import type pg from 'pg';
import type { Piece } from '../../../sync/domain/change.ts';
import type { Dice } from './dice.ts';

export const FAILPOINTS = [
  'before receive',
  'after receive',
  'map',
  'before apply',
  'after apply',
  'before commit',
  'after commit',
  'before acknowledge',
  'after acknowledge',
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

export class Crash extends Error {}

interface Session {
  query: (...args: unknown[]) => unknown;
  readonly connection: { readonly stream: { destroy(): void } };
}

/** The session of one life, and the place where it will be lost. */
export class Doom {
  /** Where it was lost, once it was. */
  struck: Failpoint | undefined;
  /** Queries that are not answered yet. */
  underWay = 0;
  /** Commits that the server answered before they were on its disk, and none since that waited. */
  owed = false;
  /** Commits that were sent. */
  commits = 0;
  readonly #session: Session;
  readonly #query: Session['query'];
  #at: Failpoint | undefined;
  #left = 0;
  #soon = false;

  constructor(client: pg.Client) {
    const session: unknown = client;
    this.#session = session as Session;
    this.#query = this.#session.query.bind(client);
    this.#session.query = (...args) => this.#asked(args);
  }

  /** Gives the session back as it was. */
  lift(): void {
    this.#session.query = this.#query;
  }

  /** Chooses the place for the next step; undefined for none. */
  choose(at: Failpoint | undefined, dice: Dice): void {
    this.#at = at;
    const within = { 'before apply': 5, 'after apply': 5, map: 4 } as Partial<
      Record<Failpoint, number>
    >;
    this.#left = at === undefined ? 0 : dice.pick(within[at] ?? 1);
  }

  /** Throws, and the session is lost, where this is the place. */
  pass(place: Failpoint): void {
    if (this.#due(place)) throw new Crash(place);
  }

  /** The same pieces, whose changes may be the last thing that is looked at. */
  watched(pieces: readonly Piece[]): Piece[] {
    return pieces.map((piece) => ({
      ...piece,
      changes: new Proxy(piece.changes, {
        get: (changes, name, receiver): unknown => {
          if (typeof name === 'string' && /^\d+$/.test(name)) this.pass('map');
          return Reflect.get(changes, name, receiver);
        },
      }),
    }));
  }

  #due(place: Failpoint): boolean {
    if (this.struck !== undefined || this.#at !== place || this.#left-- > 0) return false;
    this.lose(place);
    return true;
  }

  lose(place: Failpoint): void {
    this.struck = place;
    this.#session.connection.stream.destroy();
  }

  #asked(args: unknown[]): unknown {
    const text = textOf(args[0]);
    const kind = text.endsWith('COMMIT') ? 'commit' : 'apply';
    this.#due(`before ${kind}`);
    // Stray rows are deleted outside of a transaction.
    if (kind === 'commit' || text.startsWith('DELETE')) this.commits += 1;
    const answer = this.#query(...args) as Promise<unknown> | undefined;
    // A copy in answers to its own object.
    if (typeof answer?.then !== 'function') return answer;
    this.underWay += 1;
    return answer.then(
      (result) => {
        this.underWay -= 1;
        if (text.startsWith('SET LOCAL synchronous_commit')) this.#soon = true;
        if (kind === 'commit') {
          this.owed = this.#soon;
          this.#soon = false;
        }
        if (text === 'ROLLBACK') this.#soon = false;
        if (this.#due(`after ${kind}`)) throw new Error('Connection terminated unexpectedly');
        return result;
      },
      (error: unknown) => {
        this.underWay -= 1;
        throw error;
      },
    );
  }
}

function textOf(query: unknown): string {
  if (typeof query === 'string') return query;
  return query !== null && typeof query === 'object' && 'text' in query
    ? String(query.text)
    : 'COPY';
}
