// Buffers to gather bodies in, lent out and taken back. Their sizes are powers of two.

const SMALLEST = 16_384;
/** Bytes that wait to be lent again, at most. */
const MOST_KEPT = 8_388_608;

export class Rooms {
  readonly #free = new Map<number, Buffer[]>();
  #kept = 0;

  /** The size of a room for so many bytes. */
  static sizeFor(bytes: number): number {
    return Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(bytes)));
  }

  /** A room of this size; what it holds is left over from others. */
  borrow(size: number): Buffer {
    const known = this.#free.get(size)?.pop();
    if (!known) return Buffer.allocUnsafeSlow(size);
    this.#kept -= size;
    return known;
  }

  /** Nobody else may hold on to it. */
  giveBack(room: Buffer): void {
    if (this.#kept + room.length > MOST_KEPT) return;
    this.#kept += room.length;
    const free = this.#free.get(room.length);
    if (free) free.push(room);
    else this.#free.set(room.length, [room]);
  }
}
