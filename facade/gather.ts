// Gathers a body from its pieces, within a limit of its own and within the memory of all copies. A
// piece is copied when keeping it would keep much more alive than its bytes: a sender of tiny chunks
// must not cost a hundred times what it sends. Room for more than one piece is used again and again: a
// sender without end would otherwise keep the collector busy on the loop that carries the clients.
import type { Purse } from './memory.ts';
import { Rooms } from './rooms.ts';

/** A piece is kept as it is when the buffer that it is a part of has at most so much besides. */
const SPARE_BYTES = 16_384;
const rooms = new Rooms();

const NOTHING = Buffer.alloc(0);

export class Gathering {
  readonly #purse: Purse;
  readonly #most: number;
  #whole: Buffer = NOTHING;
  #size = 0;
  /** Taken from the purse. */
  #held = 0;
  /** `#whole` is a room. */
  #borrowed = false;

  constructor(purse: Purse, most: number) {
    this.#purse = purse;
    this.#most = most;
  }

  /** Adds a piece; says why when it does not fit, and lets go of everything. */
  add(chunk: Buffer): 'too-large' | 'memory' | undefined {
    const size = this.#size + chunk.length;
    if (size > this.#most) return this.#refuse('too-large');
    if (this.#size === 0) {
      if (!this.#hold(chunk.length)) return this.#refuse('memory');
      this.#whole = chunk.buffer.byteLength - chunk.length > SPARE_BYTES ? ownCopy(chunk) : chunk;
    } else {
      if (size > this.#whole.length && !this.#grow(size)) return this.#refuse('memory');
      chunk.copy(this.#whole, this.#size);
    }
    this.#size = size;
    return undefined;
  }

  /** The body; its length stays taken from the purse. */
  take(): Buffer {
    this.#purse.give(this.#held - this.#size);
    this.#held = this.#size;
    if (this.#whole.length === this.#size && !this.#borrowed) return this.#whole;
    const body = ownCopy(this.#whole.subarray(0, this.#size));
    this.#giveBack();
    return body;
  }

  /** Lets go of what has gathered. */
  drop(): void {
    this.#purse.give(this.#held);
    this.#giveBack();
    this.#held = 0;
    this.#whole = NOTHING;
    this.#size = 0;
  }

  #grow(size: number): boolean {
    const capacity = Rooms.sizeFor(size);
    if (!this.#hold(Math.min(capacity, this.#most))) return false;
    const larger = rooms.borrow(capacity);
    this.#whole.copy(larger, 0, 0, this.#size);
    this.#giveBack();
    this.#whole = larger;
    this.#borrowed = true;
    return true;
  }

  #hold(bytes: number): boolean {
    if (!this.#purse.take(bytes - this.#held)) return false;
    this.#held = bytes;
    return true;
  }

  #giveBack(): void {
    if (this.#borrowed) rooms.giveBack(this.#whole);
    this.#borrowed = false;
  }

  #refuse(why: 'too-large' | 'memory'): 'too-large' | 'memory' {
    this.drop();
    return why;
  }
}

/** Outside the pool that small buffers share, of which one would keep all alive. */
function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
