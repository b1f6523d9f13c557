// The bytes that shadow copies may keep, all together: captured answers, answers that are being
// read, and those that wait to be compared again. Every copy has a purse of its own, which gives
// back what is left in it when the copy is through, whatever way it ended.

export class Memory {
  #free: number;

  constructor(bytes: number) {
    this.#free = bytes;
  }

  get free(): number {
    return this.#free;
  }

  /** Takes bytes, or none at all when there are not so many. */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
  }
}

export class Purse {
  readonly #memory: Memory;
  #held = 0;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  take(bytes: number): boolean {
    if (!this.#memory.take(bytes)) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    const given = Math.min(bytes, this.#held);
    this.#held -= given;
    this.#memory.give(given);
  }

  /** Gives everything back; what is taken afterwards has to be given back by itself. */
  close(): void {
    this.give(this.#held);
  }
}
