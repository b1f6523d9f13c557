// What a broker answers to a fetch, versions 4 to 11, for kafkajs to go on with: as its own reader has it,
// but batches in the place of messages (fetched-batch.ts). What belongs to transactions that were given up
// is marked as nothing for a reader, and handed over all the same, as markers are: kafkajs would look at
// messages one by one, and go on behind such batches without asking whether they were the next to come.
import { BanyanError } from '../errors.ts';
import {
  batchesIn,
  isBatch,
  isOlder,
  type Decompress,
  type FetchedBatch,
} from './fetched-batch.ts';

/** The library's reader of answers. */
export interface Reader {
  readonly buffer: Buffer;
  offset: number;
  readInt16(): number;
  readInt32(): number;
  readInt64(): bigint;
  readString(): string | null;
  readArray<T>(read: (reader: Reader) => T): T[];
  readArrayAsync<T>(read: (reader: Reader) => Promise<T>): Promise<T[]>;
}

export interface FetchParts {
  readonly decompress: Decompress;
  /** Reads messages of the formats before batches, as the library has them. */
  readonly older: (bytes: Buffer) => Promise<unknown[]>;
}

interface Aborted {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

/** Versions of the answer with which something was added. */
const WITH_START = 5;
const WITH_SESSION = 7;
const THROTTLED_HERE = 8;
const WITH_REPLICA = 11;

/** In the library's own form. */
export async function readFetch(
  reader: Reader,
  version: number,
  parts: FetchParts,
): Promise<unknown> {
  const throttle = reader.readInt32();
  const session =
    version >= WITH_SESSION
      ? { errorCode: reader.readInt16(), sessionId: reader.readInt32() }
      : undefined;
  const responses = await reader.readArrayAsync(async () => ({
    topicName: reader.readString(),
    partitions: await reader.readArrayAsync(() => readPartition(reader, version, parts)),
  }));
  // Since then the broker does not wait itself, and the client is to.
  const throttled =
    version >= THROTTLED_HERE
      ? { throttleTime: 0, clientSideThrottleTime: throttle }
      : { throttleTime: throttle };
  return { ...throttled, ...session, responses };
}

async function readPartition(reader: Reader, version: number, parts: FetchParts): Promise<unknown> {
  const partition = reader.readInt32();
  const errorCode = reader.readInt16();
  const highWatermark = String(reader.readInt64());
  const lastStableOffset = String(reader.readInt64());
  const lastStartOffset = version >= WITH_START ? String(reader.readInt64()) : undefined;
  const aborted = reader.readArray((): Aborted => ({
    producerId: reader.readInt64(),
    firstOffset: reader.readInt64(),
  }));
  const preferredReadReplica = version >= WITH_REPLICA ? reader.readInt32() : undefined;
  const size = Math.max(0, reader.readInt32());
  const answered = reader.buffer.subarray(reader.offset, (reader.offset += size));
  // What of one partition has to wait is not to keep what came of all the others.
  const bytes = size * 2 < reader.buffer.length ? Buffer.from(answered) : answered;
  return {
    ...{ partition, errorCode, highWatermark, lastStableOffset },
    ...(lastStartOffset !== undefined && { lastStartOffset }),
    // They have been left out already.
    abortedTransactions: [],
    ...(preferredReadReplica !== undefined && { preferredReadReplica }),
    messages: await readMessages(bytes, aborted, parts),
  };
}

async function readMessages(
  bytes: Buffer,
  aborted: readonly Aborted[],
  { decompress, older }: FetchParts,
): Promise<unknown[]> {
  if (bytes.length === 0) return [];
  if (isOlder(bytes)) return older(bytes);
  const batches = batchesIn(bytes, decompress);
  leaveOut(batches, aborted);
  if (batches.length === 0 && bytes.length > MAGIC_END && !isBatch(bytes))
    throw new BanyanError('KAFKA_REFUSED', 'records come in a format that is not known here', {
      hint: 'It is newer than this version of Banyan: get a newer one.',
    });
  return batches;
}

/** So many bytes tell the format. */
const MAGIC_END = 17;

/** A transaction that was given up begins at its first offset, and ends at its producer's next marker of that. */
function leaveOut(batches: readonly FetchedBatch[], aborted: readonly Aborted[]): void {
  if (aborted.length === 0) return;
  const coming = [...aborted].sort((a, b) => Number(a.firstOffset - b.firstOffset));
  const open = new Set<bigint>();
  for (const batch of batches) {
    for (let one = coming[0]; one && one.firstOffset <= batch.lastOffset; one = coming[0]) {
      open.add(one.producerId);
      coming.shift();
    }
    if (batch.isAbort) open.delete(batch.producerId);
    else if (batch.isTransactional && open.has(batch.producerId)) batch.giveUp();
  }
}
