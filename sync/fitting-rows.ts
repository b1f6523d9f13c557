// How many rows are read at once: as many as fit into some memory, by what those before them took.
import type { Tuple } from './domain/change.ts';

const FIRST_ROWS = 50;
const MOST_BYTES = 8 * 1_048_576;

export class FittingRows {
  readonly #most: number;
  #rows: number;

  constructor(most: number) {
    this.#most = most;
    this.#rows = Math.min(FIRST_ROWS, most);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Gives how many bytes they are, about; none says nothing of the next ones. */
  took(rows: readonly Tuple[]): number {
    const bytes = bytesOf(rows);
    const fitting = Math.floor((MOST_BYTES * rows.length) / Math.max(1, bytes));
    const next = rows.length === 0 ? this.#rows * 2 : Math.min(this.#rows * 4, fitting);
    this.#rows = Math.max(1, Math.min(this.#most, next));
    return bytes;
  }

  /** Whether so many bytes are as much as is held at once. */
  static isFull(bytes: number): boolean {
    return bytes >= MOST_BYTES;
  }
}

function bytesOf(rows: readonly Tuple[]): number {
  let bytes = 0;
  for (const row of rows) for (const value of row) bytes += value?.length ?? 0;
  return bytes;
}
