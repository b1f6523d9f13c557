// A batch of records as a fetch has brought it (record batch, version 2, of Kafka's message format), read no
// further than kafkajs must know of it: there it stands for one message, the last of its records. Its
// checksum is looked at when its records are wanted, also where none are for a reader: kafkajs never looks.
import { BanyanError } from '../errors.ts';
import type { Fetched, TopicPartition } from './client.ts';
import { crc32c } from './crc32c.ts';
import { Cursor } from './cursor.ts';
import { recordsOf } from './placed-record.ts';

/** Undoes a compression, by its number in the format. Throws where there is none for it. */
export type Decompress = (codec: number, bytes: Buffer) => Promise<Buffer>;

const LENGTH_AT = 8;
const MAGIC_AT = 16;
const CHECKSUM_AT = 17;
const ATTRIBUTES_AT = 21;
const LAST_DELTA_AT = 23;
const FIRST_TIME_AT = 27;
const LAST_TIME_AT = 35;
const PRODUCER_AT = 43;
const COUNT_AT = 57;
const RECORDS_AT = 61;
const MAGIC = 2;

const CODEC = 0x07;
const APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;
/** Type of a control record. */
const ABORT = 0;

export class FetchedBatch {
  /** Of its last record, as kafkajs has offsets. */
  readonly offset: string;
  readonly lastOffset: bigint;
  #isGivenUp = false;
  readonly #bytes: Buffer;
  readonly #attributes: number;
  readonly #decompress: Decompress;

  constructor(bytes: Buffer, decompress: Decompress) {
    this.#bytes = bytes;
    this.#decompress = decompress;
    this.#attributes = bytes.readInt16BE(ATTRIBUTES_AT);
    this.lastOffset = this.firstOffset + BigInt(bytes.readInt32BE(LAST_DELTA_AT));
    this.offset = String(this.lastOffset);
  }

  get firstOffset(): bigint {
    return this.#bytes.readBigInt64BE(0);
  }

  get producerId(): bigint {
    return this.#bytes.readBigInt64BE(PRODUCER_AT);
  }

  get isTransactional(): boolean {
    return this.#has(TRANSACTIONAL);
  }

  /** Whether it is the marker that ends a transaction which was given up. */
  get isAbort(): boolean {
    if (!this.#has(CONTROL) || this.#count <= 0) return false;
    const cursor = new Cursor(this.#bytes, RECORDS_AT);
    cursor.number();
    cursor.byte();
    cursor.long();
    cursor.number();
    // Its key is a version and a type.
    return cursor.number() >= 4 && this.#bytes.readInt16BE(cursor.at + 2) === ABORT;
  }

  /** It is of a transaction that was given up: nobody reads its records. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /**
   * Its records from an offset on; none of a marker, nor of what was given up. Throws KAFKA_UNREACHABLE
   * where it has been damaged.
   */
  async records({ topic, partition }: TopicPartition, from: bigint): Promise<Fetched[]> {
    this.#assertWhole({ topic, partition });
    // One that compaction has emptied says only how far it went.
    if (this.#isGivenUp || this.#has(CONTROL) || this.#count <= 0) return [];
    const codec = this.#attributes & CODEC;
    const bytes =
      codec === 0 ? this.#bytes : await this.#decompress(codec, this.#bytes.subarray(RECORDS_AT));
    return recordsOf(
      {
        ...{ topic, partition, bytes, at: codec === 0 ? RECORDS_AT : 0, count: this.#count },
        firstOffset: this.firstOffset,
        firstMs: Number(this.#bytes.readBigInt64BE(FIRST_TIME_AT)),
        appendedMs: this.#has(APPEND_TIME)
          ? Number(this.#bytes.readBigInt64BE(LAST_TIME_AT))
          : undefined,
      },
      from,
    );
  }

  get #count(): number {
    return this.#bytes.readInt32BE(COUNT_AT);
  }

  #has(flag: number): boolean {
    return (this.#attributes & flag) !== 0;
  }

  #assertWhole({ topic, partition }: TopicPartition): void {
    const said = this.#bytes.readUInt32BE(CHECKSUM_AT);
    const found = crc32c(this.#bytes.subarray(ATTRIBUTES_AT));
    if (said === found) return;
    throw new BanyanError(
      'KAFKA_UNREACHABLE',
      `the batch at offset ${this.firstOffset} of partition ${partition} of topic ${topic} is damaged: its checksum is ${found}, and it says ${said}`,
      {
        hint: 'It is fetched again. Where it comes like this every time, the disk of the broker that leads the partition has spoilt it: move the leadership to another replica.',
      },
    );
  }
}

/** Whether bytes, that hold so much, begin with a batch of this format. */
export function isBatch(bytes: Buffer): boolean {
  return bytes[MAGIC_AT] === MAGIC;
}

/** Whether they are of a format before it. */
export function isOlder(bytes: Buffer): boolean {
  return (bytes[MAGIC_AT] ?? MAGIC) < MAGIC;
}

/** The batches that bytes begin with; of the last one a part may have come only, which is fetched again. */
export function batchesIn(bytes: Buffer, decompress: Decompress): FetchedBatch[] {
  const batches: FetchedBatch[] = [];
  for (let rest = bytes; rest.length >= RECORDS_AT && isBatch(rest);) {
    const size = LENGTH_AT + 4 + rest.readInt32BE(LENGTH_AT);
    if (size < RECORDS_AT) throw new RangeError('a batch of records ends within its head');
    if (size > rest.length) break;
    batches.push(new FetchedBatch(rest.subarray(0, size), decompress));
    rest = rest.subarray(size);
  }
  return batches;
}
