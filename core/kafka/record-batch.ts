// A batch of records as brokers store it (record batch, version 2, of Kafka's message format). kafkajs makes
// several objects and buffers of each record for the same bytes, which took most of a relay's time.
import { crc32c } from './crc32c.ts';
import type { PackedRecords } from './record-pack.ts';

export interface BatchHead {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  /** Of all records, in milliseconds. */
  readonly timestamp: number;
}

/** How records are compressed, and its number in the format. */
export interface Codec {
  readonly type: number;
  readonly compress: (records: Buffer) => Promise<Buffer>;
}

const MAGIC = 2;
/** Base offset, length, leader epoch, magic and checksum. */
const CHECKED_FROM = 21;
/** All that comes before the records. */
const HEAD_BYTES = 61;

/** What a batch takes that is not compressed. */
export function batchBytes(records: PackedRecords): number {
  return HEAD_BYTES + records.bytes;
}

/** Writes a batch of at least one record, as it is; gives where it ends. */
export function writeBatch(
  target: Buffer,
  offset: number,
  records: PackedRecords,
  head: BatchHead,
): number {
  const end = records.write(target, offset + HEAD_BYTES);
  writeHead(target.subarray(offset, end), records.length, head, 0);
  return end;
}

/** The same with its records compressed. */
export async function compressedBatch(
  records: PackedRecords,
  head: BatchHead,
  { type, compress }: Codec,
): Promise<Buffer> {
  const plain = Buffer.allocUnsafe(records.bytes);
  records.write(plain, 0);
  const batch = Buffer.concat([Buffer.alloc(HEAD_BYTES), await compress(plain)]);
  writeHead(batch, records.length, head, type);
  return batch;
}

function writeHead(batch: Buffer, count: number, head: BatchHead, codec: number): void {
  const { timestamp, producerId, producerEpoch, firstSequence } = head;
  let at = batch.writeBigInt64BE(0n, 0);
  at = batch.writeInt32BE(batch.length - at - 4, at);
  // The epoch of the partition's leader is the broker's to know.
  at = batch.writeInt32BE(0, at);
  at = batch.writeInt8(MAGIC, at) + 4;
  at = batch.writeInt16BE(codec, at);
  at = batch.writeInt32BE(count - 1, at);
  at = batch.writeBigInt64BE(BigInt(timestamp), at);
  at = batch.writeBigInt64BE(BigInt(timestamp), at);
  at = batch.writeBigInt64BE(producerId, at);
  at = batch.writeInt16BE(producerEpoch, at);
  at = batch.writeInt32BE(firstSequence, at);
  batch.writeInt32BE(count, at);
  batch.writeUInt32BE(crc32c(batch.subarray(CHECKED_FROM)), CHECKED_FROM - 4);
}
