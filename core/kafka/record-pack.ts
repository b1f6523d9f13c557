// Records written down as they go into a batch, all but where they stand in it: a few objects for
// thousands. What waits for the brokers so is nothing for the garbage collector, which took a third of a
// relay's time when it was.
import { keyHash } from './murmur.ts';
import type { KafkaRecord } from './record.ts';
import { sizeOfVarInt, writeVarInt } from './var-int.ts';

const FIRST_BYTES = 16_384;
/** What a huge record took is given back. */
const MOST_KEPT_BYTES = 4_194_304;
/** A record's length and where it stands take no more. */
export const PLACE_BYTES = 12;

export class RecordPack {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #bytes = 0;
  /** Where each record ends. */
  #ends: number[] = [];
  #topics: string[] = [];
  /** The partition, or the hash of the key as -1 - hash. */
  #places: number[] = [];

  get count(): number {
    return this.#ends.length;
  }

  /** All that it has something of. */
  get topics(): ReadonlySet<string> {
    return new Set(this.#topics);
  }

  /** About what it takes in memory. */
  get bytes(): number {
    return this.#bytes + this.#ends.length * 24;
  }

  append({ topic, key, value, headers, partition }: KafkaRecord): void {
    const names = Object.keys(headers);
    const keyBytes = key === null ? -1 : Buffer.byteLength(key);
    const valueBytes = value === null ? -1 : Buffer.byteLength(value);
    // No number takes more than five bytes.
    let most = 15 + keyBytes + valueBytes;
    for (const name of names) most += 10 + 3 * (name.length + (headers[name]?.length ?? 0));
    this.#makeRoom(most);
    this.#write(key, keyBytes);
    this.#place(partition, keyBytes);
    this.#write(value, valueBytes);
    this.#bytes = writeVarInt(this.#buffer, names.length, this.#bytes);
    for (const name of names) {
      const text = headers[name] ?? '';
      this.#write(name, Buffer.byteLength(name));
      this.#write(text, Buffer.byteLength(text));
    }
    this.#ends.push(this.#bytes);
    this.#topics.push(topic);
  }

  /** Begins anew in the same memory; nothing of before may be asked for any more. */
  clear(): void {
    if (this.#buffer.length > MOST_KEPT_BYTES) this.#buffer = Buffer.allocUnsafe(FIRST_BYTES);
    this.#bytes = 0;
    this.#ends = [];
    this.#topics = [];
    this.#places = [];
  }

  topicOf(index: number): string {
    return this.#topics[index] ?? '';
  }

  /** Its own, or by its key as with Java's client; what has no key stands in partition 0. */
  partitionOf(index: number, partitions: number): number {
    const place = this.#places[index] ?? 0;
    return place >= 0 ? place : (-1 - place) % partitions;
  }

  sizeOf(index: number): number {
    return (this.#ends[index] ?? 0) - this.#startOf(index);
  }

  /** Key, value and headers of a record; gives where they end. */
  copy(index: number, target: Buffer, at: number): number {
    return at + this.#buffer.copy(target, at, this.#startOf(index), this.#ends[index]);
  }

  #startOf(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] ?? 0);
  }

  #makeRoom(bytes: number): void {
    const wanted = this.#bytes + bytes;
    if (wanted <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(wanted, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#bytes);
    this.#buffer = larger;
  }

  #write(text: string | null, bytes: number): void {
    const at = (this.#bytes = writeVarInt(this.#buffer, bytes, this.#bytes));
    if (text === null) return;
    // ASCII need not be encoded.
    this.#buffer.write(text, at, bytes, bytes === text.length ? 'latin1' : 'utf8');
    this.#bytes += bytes;
  }

  /** The key has just been written. */
  #place(partition: number | undefined, keyBytes: number): void {
    if (partition !== undefined || keyBytes < 0) {
      this.#places.push(partition ?? 0);
      return;
    }
    const key = this.#buffer.subarray(this.#bytes - keyBytes, this.#bytes);
    this.#places.push(-1 - keyHash(key));
  }
}

/** Records of one topic or partition, in order, wherever they are packed. */
export class PackedRecords {
  readonly #packs: RecordPack[] = [];
  readonly #indexes: number[] = [];
  /** The records take no more in a batch. */
  atMost = 0;
  #isOver = false;

  get length(): number {
    return this.#packs.length;
  }

  add(pack: RecordPack, index: number): void {
    this.#packs.push(pack);
    this.#indexes.push(index);
    this.atMost += pack.sizeOf(index) + PLACE_BYTES;
  }

  /** The same records, by partition. */
  byPartition(partitions: number): Map<number, PackedRecords> {
    const parts = new Map<number, PackedRecords>();
    for (const [at, pack] of this.#packs.entries()) {
      const index = this.#indexes[at] ?? 0;
      const partition = pack.partitionOf(index, partitions);
      let part = parts.get(partition);
      if (!part) parts.set(partition, (part = new PackedRecords()));
      part.add(pack, index);
    }
    return parts;
  }

  /** What the records take in a batch. */
  get bytes(): number {
    let bytes = 0;
    for (const [at, pack] of this.#packs.entries()) {
      const size = this.#sizeAt(at, pack);
      bytes += sizeOfVarInt(size) + size;
    }
    return bytes;
  }

  /** They are read no more: their packs may have others by now. */
  end(): void {
    this.#isOver = true;
  }

  /** Writes them as a batch has them; gives where they end. */
  write(target: Buffer, offset: number): number {
    if (this.#isOver) throw new RangeError('these records have been sent, or refused');
    let end = offset;
    for (const [at, pack] of this.#packs.entries()) {
      end = writeVarInt(target, this.#sizeAt(at, pack), end);
      // No attributes, and no time of its own.
      target[end] = 0;
      target[end + 1] = 0;
      end = writeVarInt(target, at, end + 2);
      end = pack.copy(this.#indexes[at] ?? 0, target, end);
    }
    return end;
  }

  #sizeAt(at: number, pack: RecordPack): number {
    return 2 + sizeOfVarInt(at) + pack.sizeOf(this.#indexes[at] ?? 0);
  }
}
