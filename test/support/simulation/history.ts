// The log of a simulated source: what has been committed there, in memory, and handed out as a slot
// does it. What was acknowledged may be forgotten; what was not is delivered again after a crash, and
// so may be anything before it. Transactions are cut into pieces anywhere.
import type { Lsn, Position } from '../../../core/postgres/lsn.ts';
import { MESSAGE_PREFIX } from '../../../control/domain/names.ts';
import type { ChangeLog } from '../../../sync/change-log.ts';
import type { Change, Piece, TransactionHead } from '../../../sync/domain/change.ts';
import type { Dice } from './dice.ts';

interface Entry {
  readonly head: TransactionHead;
  readonly changes: readonly Change[];
  readonly endLsn: Lsn;
}

/** Short ones, such that the folded rows are sent one by one, and such that a batch ends behind each. */
const BYTES_A_CHANGE = [60, 60, 60, 2_200_000, 20_000_000];

export class History {
  readonly #dice: Dice;
  readonly #entries: Entry[] = [];
  #lsn = 1000n;
  #xid: number;
  #acknowledged: Lsn = 0n;

  constructor(dice: Dice) {
    this.#dice = dice;
    // Transaction ids wrap around.
    this.#xid = dice.chance(0.2) ? 0xfffffff0 : 700 + dice.pick(1000);
  }

  /** The id that the next transaction will have. */
  get nextXid(): number {
    return this.#xid;
  }

  /** Where the next transaction will commit. */
  get end(): Lsn {
    return this.#lsn;
  }

  append(changes: readonly Change[], origin?: string): number {
    const xid = this.#xid;
    this.#xid = (this.#xid + 1) >>> 0;
    const commitLsn = this.#lsn + BigInt(1 + this.#dice.pick(40));
    const endLsn = commitLsn + BigInt(1 + this.#dice.pick(8));
    this.#lsn = endLsn;
    this.#entries.push({
      head: { xid, commitLsn, commitMs: 0, origin },
      changes,
      endLsn,
    });
    return xid;
  }

  message(content: string, prefix = MESSAGE_PREFIX): void {
    this.append([{ kind: 'message', prefix, content }]);
  }

  acknowledge(endLsn: Lsn): void {
    if (!this.#entries.some((entry) => entry.endLsn === endLsn))
      throw new Error(`${endLsn} was acknowledged, where no transaction ends`);
    if (endLsn > this.#acknowledged) this.#acknowledged = endLsn;
  }

  /** As a slot does: from the position asked for or from what was acknowledged; sometimes from before. */
  open(from: Position): SimulatedLog {
    const start = from.commitLsn > this.#acknowledged ? from.commitLsn : this.#acknowledged;
    let at = this.#entries.findIndex(({ head }) => head.commitLsn >= start);
    if (at < 0) at = this.#entries.length;
    // A server that crashed has forgotten the last acknowledgements.
    if (this.#dice.chance(0.5)) at -= this.#dice.pick(Math.min(at, 8) + 1);
    return new SimulatedLog(this, this.#entries, at, this.#dice);
  }
}

class SimulatedLog implements ChangeLog {
  readonly timeline = 1;
  readonly #history: History;
  readonly #entries: readonly Entry[];
  readonly #dice: Dice;
  #entry: number;
  #change = 0;
  /** Pieces that the next read gives at most. */
  upTo = 1;

  constructor(history: History, entries: readonly Entry[], from: number, dice: Dice) {
    this.#history = history;
    this.#entries = entries;
    this.#entry = from;
    this.#dice = dice;
  }

  get drained(): boolean {
    return this.#entry >= this.#entries.length;
  }

  read(): Promise<readonly Piece[]> {
    const pieces: Piece[] = [];
    while (pieces.length < this.upTo && !this.drained) pieces.push(this.#piece());
    return Promise.resolve(pieces);
  }

  acknowledge(endLsn: Lsn): void {
    this.#history.acknowledge(endLsn);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #piece(): Piece {
    const { head, changes, endLsn } = this.#entries[this.#entry] as Entry;
    const left = changes.length - this.#change;
    // Now and then only the commit is left for the last piece.
    const size = left > 0 && this.#dice.chance(0.5) ? Math.min(left, 1 + this.#dice.pick(3)) : left;
    const isLast = size === left && (size === 0 || !this.#dice.chance(0.1));
    const piece: Piece = {
      head,
      changes: changes.slice(this.#change, this.#change + size),
      size,
      bytes: size * this.#dice.one(BYTES_A_CHANGE),
      firstSeq: this.#change + 1,
      endLsn: isLast ? endLsn : undefined,
    };
    if (isLast) {
      this.#entry += 1;
      this.#change = 0;
    } else this.#change += size;
    return piece;
  }
}

export type { SimulatedLog };
