// What of kafkajs we change for the whole process, because it offers no other way: how requests wait, the
// codecs it has, how it writes our records down, and how it reads those of our own consumers. Whoever else
// uses it in this process has what it gives.
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs from 'kafkajs';
import { BanyanError } from '../errors.ts';
import { readFetch, type FetchParts, type Reader } from './fetch-response.ts';
import {
  batchBytes,
  compressedBatch,
  writeBatch,
  type BatchHead,
  type Codec,
} from './record-batch.ts';
import { PackedRecords } from './record-pack.ts';

interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  scheduleCheckPendingRequests: (this: RequestQueue) => void;
}

/** The library's writer of requests. */
interface Writer {
  readonly buf: Buffer;
  offset: number;
  writeInt16(value: number): this;
  writeInt32(value: number): this;
  writeString(value: string | null): this;
  writeBytes(value: Buffer): this;
}

/** A request as the library has it when it is to be sent. */
interface ProduceRequest {
  readonly acks: number;
  readonly timeout: number;
  readonly compression: number;
  readonly transactionalId?: string | null;
  readonly producerId: string | number;
  readonly producerEpoch: number;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly firstSequence: number;
      readonly messages: unknown;
    }[];
  }[];
}

interface FetchRequest {
  readonly rackId?: string;
}

interface Made {
  readonly request: { readonly encode: () => Promise<Writer> };
  readonly response: { readonly decode: (bytes: Buffer) => Promise<unknown> };
}

interface Protocol<Given> {
  protocol: (of: { readonly version: number }) => (given: Given) => Made;
}

interface Compression {
  compress(records: { readonly buffer: Buffer }): Promise<Buffer>;
  decompress(records: Buffer): Promise<Buffer>;
}

/** From here on records go in batches of version 2, up to the last versions that the library knows. */
const FIRST_WITH_BATCHES = { produce: 3, fetch: 4 };

/**
 * Nothing but its rack does kafkajs pass on of a consumer with a fetch: our own ones are known by it. No
 * broker is told.
 */
export const OWN_RACK = 'banyan: batches as they are';

let mended = false;

/** Does it once. */
export function mend(): void {
  if (mended) return;
  mended = true;
  const require = createRequire(import.meta.url);
  mendQueue(require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue });
  mendCodecs();
  const { requests } = require('kafkajs/src/protocol/requests') as {
    requests: { Produce: Protocol<ProduceRequest>; Fetch: Protocol<FetchRequest> };
  };
  mendProduce(
    requests.Produce,
    require('kafkajs/src/protocol/encoder') as new (size: number) => Writer,
  );
  const Reading = require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => Reader;
  const readMessageSet = require('kafkajs/src/protocol/messageSet/decoder') as (
    reader: Reader,
    size: number,
  ) => Promise<unknown[]>;
  mendFetch(requests.Fetch, Reading, {
    older: (bytes) => readMessageSet(new Reading(bytes), bytes.length),
    decompress: unpack,
  });
}

/**
 * After each answer kafkajs sets a timer for requests that wait, though none does, and with a negative
 * delay: Node warns of it (kafkajs #1751).
 */
function mendQueue({ prototype }: { readonly prototype: RequestQueue }): void {
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.scheduleCheckPendingRequests = function scheduleWhereOneWaits() {
    if (this.pending.length > 0) schedule.call(this);
  };
}

/** Of the codecs it brings gzip only. */
function mendCodecs(): void {
  const [compress, decompress] = [promisify(zstdCompress), promisify(zstdDecompress)];
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
    compress: ({ buffer }: { buffer: Buffer }) => compress(buffer),
    decompress: (buffer: Buffer) => decompress(buffer),
  });
}

/** Its own way of writing records down takes some thirty microseconds a record (see record-batch.ts). */
function mendProduce(
  produce: Protocol<ProduceRequest>,
  Writer: new (size: number) => Writer,
): void {
  const original = produce.protocol;
  produce.protocol = (of) => {
    const make = original(of);
    if (of.version < FIRST_WITH_BATCHES.produce) return make;
    return (given) => {
      const made = make(given);
      const encode = async (): Promise<Writer> =>
        (await encodeProduce(given, Writer)) ?? made.request.encode();
      return { ...made, request: { ...made.request, encode } };
    };
  };
}

/** Of each record it makes a score of objects, which took most of a flow's time. */
function mendFetch(
  fetch: Protocol<FetchRequest>,
  Reading: new (bytes: Buffer) => Reader,
  parts: FetchParts,
): void {
  const original = fetch.protocol;
  fetch.protocol = (of) => {
    const make = original(of);
    return (given) => {
      if (given.rackId !== OWN_RACK) return make(given);
      const made = make({ ...given, rackId: '' });
      if (of.version < FIRST_WITH_BATCHES.fetch) return made;
      const decode = (bytes: Buffer): Promise<unknown> =>
        readFetch(new Reading(bytes), of.version, parts);
      return { ...made, response: { ...made.response, decode } };
    };
  };
}

const NAMES: Readonly<Record<number, string>> = { 2: 'snappy', 3: 'lz4' };

async function unpack(type: number, bytes: Buffer): Promise<Buffer> {
  let codec: Compression | undefined;
  try {
    codec = codecs()[type]?.();
  } catch {
    // The library has a place for it, and no more.
  }
  if (codec) return codec.decompress(bytes);
  throw new BanyanError(
    'KAFKA_REFUSED',
    `records are compressed by ${NAMES[type] ?? `a codec (${type})`} that is not read here`,
    {
      hint: 'Have whoever writes the topic compress by gzip or zstd, or not at all: compression.type of the topic or of the producer (of a connector: producer.override.compression.type).',
    },
  );
}

/** Undefined where messages are not packed, or of a transaction. */
async function encodeProduce(
  { topicData, ...given }: ProduceRequest,
  Writer: new (size: number) => Writer,
): Promise<Writer | undefined> {
  const codec = codecOf(given.compression);
  const common: Omit<BatchHead, 'firstSequence'> = {
    producerId: BigInt(given.producerId),
    producerEpoch: given.producerEpoch,
    timestamp: Date.now(),
  };
  const size = sizeOfTopics(topicData);
  if (size === undefined || given.transactionalId) return undefined;
  const writer = new Writer(size)
    .writeString(null)
    .writeInt16(given.acks)
    .writeInt32(given.timeout)
    .writeInt32(topicData.length);
  for (const { topic, partitions } of topicData) {
    writer.writeString(topic).writeInt32(partitions.length);
    for (const { partition, firstSequence, messages } of partitions) {
      const head = { ...common, firstSequence };
      writer.writeInt32(partition);
      if (codec) writer.writeBytes(await compressedBatch(messages as PackedRecords, head, codec));
      else appendBatch(writer, messages as PackedRecords, head);
    }
  }
  return writer;
}

/** At least what they take. */
function sizeOfTopics(topicData: ProduceRequest['topicData']): number | undefined {
  let size = 64;
  for (const { topic, partitions } of topicData) {
    size += topic.length * 3 + 8;
    for (const { messages } of partitions) {
      if (!(messages instanceof PackedRecords)) return undefined;
      size += batchBytes(messages) + 8;
    }
  }
  return size;
}

/** Written where it is sent from: there is room, as the writer was made for all of it. */
function appendBatch(writer: Writer, records: PackedRecords, head: BatchHead): void {
  writer.writeInt32(batchBytes(records));
  writer.offset = writeBatch(writer.buf, writer.offset, records, head);
}

/** By their numbers in the format. */
function codecs(): Readonly<Record<number, (() => Compression) | undefined>> {
  return kafkajs.CompressionCodecs;
}

function codecOf(type: number): Codec | undefined {
  const codec = codecs()[type]?.();
  return codec && { type, compress: (buffer) => codec.compress({ buffer }) };
}
