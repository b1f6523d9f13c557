// What a log has read ahead of its consumer: pieces in their order, and the memory that they take. What
// waits is not decoded; yet a transaction of one short change is mostly the objects that hold it, so they
// count as well as the bytes.
import type { Piece } from './domain/change.ts';

/** What a piece takes beside its bytes: itself, its transaction's head, and where it lies. */
const PIECE_COST = 400;
/** What a place in the WAL takes. */
const LSN_COST = 32;

export class PieceQueue {
  readonly #pieces: Piece[] = [];
  #cost = 0;

  get empty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Bytes of memory. */
  get cost(): number {
    return this.#cost;
  }

  push(piece: Piece): void {
    this.#pieces.push(piece);
    this.#cost += costOf(piece);
  }

  /** The next pieces, until they have so many changes. */
  take(most: number): Piece[] {
    let [count, changes] = [0, 0];
    for (const piece of this.#pieces) {
      if (changes >= most) break;
      count += 1;
      changes += piece.size;
      this.#cost -= costOf(piece);
    }
    return this.#pieces.splice(0, count);
  }
}

function costOf({ bytes, lsns }: Piece): number {
  return bytes + PIECE_COST + LSN_COST * (lsns?.length ?? 0);
}
