// What has been handed to a flow and not been applied yet. The group is told how far the flow is, for
// others to see; and now and then a piece is to be noted though it has no effect, because retention may
// soon delete what lies before it.
import type { Lsn } from '../../core/postgres/lsn.ts';
import type { LogPlace, Piece } from '../domain/change.ts';

const NOTE_MS = 5_000;

type Places = ReadonlyMap<string, LogPlace>;

export class Account {
  readonly #tell: (offsets: ReadonlyMap<string, bigint>) => Promise<void>;
  #handed: { readonly endLsn: Lsn; readonly places: Places }[] = [];
  readonly #applied = new Map<string, bigint>();
  #noted = performance.now();
  #told = performance.now();

  /** `tell` tells the group; nobody minds when it fails. */
  constructor(tell: (offsets: ReadonlyMap<string, bigint>) => Promise<void>) {
    this.#tell = tell;
  }

  /** The pieces as they are handed over. */
  hand(pieces: readonly Piece[]): Piece[] {
    for (const { endLsn, read } of pieces)
      if (endLsn !== undefined && read) this.#handed.push({ endLsn, places: read.places });
    const last = pieces.at(-1);
    if (!last?.read || performance.now() - this.#noted < NOTE_MS) return [...pieces];
    this.#noted = performance.now();
    return [...pieces.slice(0, -1), { ...last, read: { ...last.read, due: true } }];
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
    if (this.#applied.size === 0 || performance.now() - this.#told < NOTE_MS) return;
    this.#told = performance.now();
    this.#tell(new Map(this.#applied)).catch(() => undefined);
    this.#applied.clear();
  }
}
