// What has been handed to a flow and not been applied yet. The group is told how far the flow is, for
// others to see; and now and then, when nothing more comes, and at the end, it is to be noted how far
// the flow has looked though nothing had an effect: retention may soon delete what lies before it.
import type { Lsn } from '../../core/postgres/lsn.ts';
import type { LogPlace, Piece } from '../domain/change.ts';

export const NOTE_MS = 5_000;
/** How often whoever waits should look whether something is owed. */
export const TICK_MS = 1_000;

type Places = ReadonlyMap<string, LogPlace>;

export class Account {
  readonly #tell: (offsets: ReadonlyMap<string, bigint>) => Promise<void>;
  readonly #now: () => number;
  #handed: { readonly endLsn: Lsn; readonly places: Places }[] = [];
  readonly #applied = new Map<string, bigint>();
  /** Of what has been handed since something was noted: the last piece, and the places of all. */
  #last: Piece | undefined;
  #places = new Map<string, LogPlace>();
  #noted: number;
  #told: number;

  /** `tell` tells the group; nobody minds when it fails. `now` is a clock of milliseconds. */
  constructor(
    tell: (offsets: ReadonlyMap<string, bigint>) => Promise<void>,
    now: () => number = () => performance.now(),
  ) {
    this.#tell = tell;
    this.#now = now;
    this.#noted = this.#told = now();
  }

  /** The pieces as they are handed over. */
  hand(pieces: readonly Piece[]): Piece[] {
    for (const piece of pieces) {
      const { endLsn, read } = piece;
      if (!read) continue;
      if (endLsn !== undefined) this.#handed.push({ endLsn, places: read.places });
      for (const [name, place] of read.places) this.#places.set(name, place);
      this.#last = piece;
    }
    const last = pieces.at(-1);
    if (!last?.read || !this.#isDue) return [...pieces];
    return [...pieces.slice(0, -1), this.#toNote(last)];
  }

  /** Whether something is to be noted though nothing has come behind it. */
  get owes(): boolean {
    return this.#last !== undefined && this.#isDue;
  }

  /** What notes how far the flow has looked, once all of that has been applied; nothing where it is noted. */
  note(): Piece[] {
    const last = this.#last;
    if (!last) return [];
    const firstSeq = last.firstSeq + last.changes.length;
    return [this.#toNote({ ...last, changes: [], size: 0, bytes: 0, firstSeq })];
  }

  /** Everything up to here has been applied. */
  acknowledge(endLsn: Lsn): void {
    let count = 0;
    for (const one of this.#handed) {
      if (one.endLsn > endLsn) break;
      for (const [name, { next }] of one.places) this.#applied.set(name, next);
      count += 1;
    }
    this.#handed.splice(0, count);
    if (this.#applied.size === 0 || this.#now() - this.#told < NOTE_MS) return;
    this.#told = this.#now();
    this.#tell(new Map(this.#applied)).catch(() => undefined);
    this.#applied.clear();
  }

  get #isDue(): boolean {
    return this.#now() - this.#noted >= NOTE_MS;
  }

  /** With the places of what was handed before: pieces without effect have left nothing behind. */
  #toNote(piece: Piece): Piece {
    const { read } = piece;
    if (!read) return piece;
    const places = this.#places;
    this.#places = new Map();
    this.#last = undefined;
    this.#noted = this.#now();
    return { ...piece, read: { ...read, places, due: true } };
  }
}
