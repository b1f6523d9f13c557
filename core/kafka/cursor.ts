// Reads what stands in a record of Kafka, one thing after the other: numbers are zigzag, seven bits a byte,
// texts stand behind their length. Throws a RangeError where the bytes end before what they say ends.

/** A number of 32 bits takes no more bytes, one of 64 bits no more than ten. */
const NUMBER_BYTES = 5;
const LONG_BYTES = 10;
/** What so many bytes hold, a double holds. */
const DOUBLE_BYTES = 7;

export class Cursor {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new RangeError('a record ends behind its batch');
    return byte;
  }

  number(): number {
    const first = this.byte();
    if (first < 128) return (first >>> 1) ^ -(first & 1);
    let rest = first & 127;
    for (let count = 1; count < NUMBER_BYTES; count++) {
      const byte = this.byte();
      rest |= (byte & 127) << (7 * count);
      if (byte < 128) return (rest >>> 1) ^ -(rest & 1);
    }
    throw new RangeError('a number in a record has no end');
  }

  /** One of 64 bits, as a double. */
  long(): number {
    let rest = 0;
    let scale = 1;
    for (let count = 0; count < DOUBLE_BYTES; count++) {
      const byte = this.byte();
      rest += (byte & 127) * scale;
      if (byte < 128) return rest % 2 === 0 ? rest / 2 : -(rest + 1) / 2;
      scale *= 128;
    }
    return this.#longer(BigInt(rest));
  }

  /** A text behind its length; null where there is none. */
  text(): string | null {
    const length = this.number();
    if (length < 0) return null;
    const from = this.at;
    this.#pass(length);
    return this.bytes.toString('utf8', from, this.at);
  }

  /** The bytes behind a length are none of ours. */
  skip(): void {
    const length = this.number();
    if (length > 0) this.#pass(length);
  }

  #pass(length: number): void {
    this.at += length;
    if (this.at > this.bytes.length) throw new RangeError('a record ends behind its batch');
  }

  #longer(begun: bigint): number {
    let rest = begun;
    for (let count = DOUBLE_BYTES; count < LONG_BYTES; count++) {
      const byte = this.byte();
      rest |= BigInt(byte & 127) << BigInt(7 * count);
      if (byte < 128) return Number(BigInt.asIntN(64, (rest >> 1n) ^ -(rest & 1n)));
    }
    throw new RangeError('a number in a record has no end');
  }
}
