// What of an ordered topic is new. Relays that died, were paused or work at the same time send again
// what was sent before, record by record in between; but before any position stand all smaller ones.
// So first occurrences are in order and without a hole, and the rest is at or before the last taken.
// A hole is an error: what is missing would be missing for good. Within a transaction numbers tell; of
// whole ones, each says behind which it comes.
import { END_OF_TRANSACTION, formatLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';

/** A record that should stand between two others does not. */
export class HoleError extends Error {
  override readonly name = 'HoleError';
}

export class Run {
  #last: Position;

  /** `from` is the last position that was taken. */
  constructor(from: Position) {
    this.#last = from;
  }

  /** The last position that was taken. */
  get last(): Position {
    return this.#last;
  }

  /** Whether a transaction has begun and not ended. */
  get open(): boolean {
    return this.#last.seq > 0 && this.#last.seq < END_OF_TRANSACTION;
  }

  /** Whether a transaction that begins here has something new in it. */
  begins({ timeline, commitLsn }: Position): boolean {
    if (timeline < this.#last.timeline) return false;
    return commitLsn > this.#last.commitLsn || (commitLsn === this.#last.commitLsn && !this.#ended);
  }

  /** Whether a change that is new is the first that is taken of its transaction. */
  isFirst(position: Position): boolean {
    return this.begins(position) && position.commitLsn !== this.#last.commitLsn;
  }

  /**
   * Takes a change; false when it was taken before. `after` is the commit LSN of the transaction before
   * its own, as the first change of one says it. Throws HoleError.
   */
  takes(position: Position, after?: Lsn): boolean {
    const { timeline, commitLsn, seq } = position;
    if (!this.begins(position)) return false;
    const within = commitLsn === this.#last.commitLsn;
    if (within && seq <= this.#last.seq) return false;
    if (!within) this.#assertClosed(commitLsn);
    const expected = within ? this.#last.seq + 1 : 1;
    if (seq !== expected) throw hole(`${formatLsn(commitLsn)}/${expected}`, position);
    if (!within) this.#assertFollows(position, after);
    this.#last = { timeline, commitLsn, seq };
    return true;
  }

  /** Takes the end of a transaction of `position.seq` changes; false when it was taken before. Throws HoleError. */
  ends(position: Position): boolean {
    const { timeline, commitLsn, seq } = position;
    if (!this.begins(position)) return false;
    const within = commitLsn === this.#last.commitLsn;
    if (!within) this.#assertClosed(commitLsn);
    const taken = within ? this.#last.seq : 0;
    if (seq !== taken) throw hole(`${formatLsn(commitLsn)}/${taken + 1}`, position);
    this.#last = { timeline, commitLsn, seq: END_OF_TRANSACTION };
    return true;
  }

  #assertFollows(position: Position, after: Lsn | undefined): void {
    const last = this.#last.commitLsn;
    if (after === undefined)
      throw new HoleError(`${text(position)} does not say which transaction it follows`);
    if (after > last)
      throw new HoleError(
        `${text(position)} comes behind the transaction that committed at ${formatLsn(after)}, and ${formatLsn(last)} was the last that came`,
      );
  }

  get #ended(): boolean {
    return this.#last.seq === END_OF_TRANSACTION;
  }

  #assertClosed(next: Lsn): void {
    if (!this.open) return;
    throw new HoleError(
      `the transaction that committed at ${formatLsn(this.#last.commitLsn)} has no end before that of ${formatLsn(next)} begins`,
    );
  }
}

function hole(expected: string, position: Position): HoleError {
  return new HoleError(`behind it comes ${text(position)}, and ${expected} is missing`);
}

function text({ commitLsn, seq }: Position): string {
  return `${formatLsn(commitLsn)}/${seq}`;
}
