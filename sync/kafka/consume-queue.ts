// Records between the consumer group and the flow: in each partition those that come next, and no more
// than some bytes; a partition that is full is paused. Where a partition begins is ours to say, at every
// assignment: what the group gives twice, or late, or from elsewhere is left out here.
import { BanyanError } from '../../core/errors.ts';
import type {
  Batch,
  Consumer,
  Fetched,
  KafkaClient,
  TopicPartition,
} from '../../core/kafka/client.ts';
import { partitionName, partitionOf } from './consume-offsets.ts';
import { Inflow, REAL, type Pace } from './inflow.ts';

export interface QueueOptions {
  readonly kafka: KafkaClient;
  readonly groupId: string;
  /** Every partition that is read, by `topic/partition`, and where it begins. */
  readonly from: ReadonlyMap<string, bigint>;
  /** Whether each offset must be there: nobody compacts the topic, no transaction marks it. */
  readonly dense: boolean;
  /** Bytes that may wait, over all partitions; one batch of each comes on top. */
  readonly queueBytes: number;
}

interface Lane {
  /** Offset of the next record to come in. */
  next: bigint;
  records: Fetched[];
  bytes: number;
  paused: boolean;
  readonly inflow: Inflow;
}

/** At the end of a partition that fills fast. */
const REST_MS = 10;

/** How full a partition that was paused may still be when it is fetched again. */
const RESUMED_AT = 0.75;
/** What a record takes besides what it says. */
const RECORD_BYTES = 64;

/** About the memory that a record takes. */
export function sizeOf(record: Fetched): number {
  if (record.bytes !== undefined) return RECORD_BYTES + record.bytes;
  const { key, value, headers } = record;
  let size = RECORD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0);
  return size;
}

/** What is asked of a partition at once, at most and at least. */
const PARTITION_BYTES = 1_048_576;
const LEAST_BYTES = 16_384;

export class RecordQueue {
  readonly #options: QueueOptions;
  readonly #lanes: Map<string, Lane>;
  /** Bytes of one partition. */
  readonly #laneBytes: number;
  readonly #pace: Pace;
  #consumer: Consumer | undefined;
  #closed = false;
  #failure: unknown;
  #wake = Promise.withResolvers<undefined>();

  constructor(options: QueueOptions, pace = REAL) {
    this.#options = options;
    this.#pace = pace;
    this.#lanes = new Map(
      [...options.from].map(([name, next]) => [
        name,
        { next, records: [], bytes: 0, paused: false, inflow: new Inflow(pace.now) },
      ]),
    );
    this.#laneBytes = options.queueBytes / Math.max(1, this.#lanes.size);
  }

  /** Joins the group. Throws KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_LOG_LOST. */
  async open(): Promise<void> {
    const { kafka, groupId, queueBytes } = this.#options;
    if (this.#lanes.size === 0) return;
    this.#consumer = await kafka.consumer({
      groupId,
      topics: [...new Set([...this.#lanes.keys()].map((name) => partitionOf(name).topic))],
      assigned: ({ partitions }) =>
        Promise.resolve(
          partitions.map((one) => ({
            ...one,
            offset: this.#lanes.get(partitionName(one))?.next ?? 'earliest',
          })),
        ),
      deliver: (batch) => this.#deliver(batch),
      passed: (of, nextOffset) => {
        this.#pass(partitionName(of), nextOffset);
      },
      maxBytes: queueBytes,
      // Each lane may have one batch more than its share.
      maxPartitionBytes: Math.min(
        PARTITION_BYTES,
        Math.max(LEAST_BYTES, Math.floor(this.#laneBytes)),
      ),
    });
    this.#consumer.ended.catch((error: unknown) => {
      this.#failure ??= error;
      this.#wake.resolve(undefined);
    });
    // Whoever has closed it meanwhile found nobody to send home.
    if (this.#closed) await this.#consumer.close();
  }

  /** Has whoever waits look again. */
  poke(): void {
    this.#wake.resolve(undefined);
  }

  /**
   * Waits until there is a record of a wanted partition, or `otherwise` says so; false when the signal
   * aborts. Throws what ended the consumer.
   */
  async wait(
    signal: AbortSignal,
    wanted: (name: string) => boolean = () => true,
    otherwise: () => boolean = () => false,
  ): Promise<boolean> {
    const onAbort = (): void => {
      this.poke();
    };
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        if (this.#failure !== undefined) throw this.#failure as Error;
        if (otherwise()) return true;
        for (const [name, { records }] of this.#lanes)
          if (records.length > 0 && wanted(name)) return true;
        await this.#wake.promise;
        this.#wake = Promise.withResolvers();
      }
      return false;
    } finally {
      // A flow lives long, and waits often.
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Offset of the next record to come in. */
  nextOf(name: string): bigint | undefined {
    return this.#lanes.get(name)?.next;
  }

  /** Offset that the next record to be taken has at least: nothing that anybody reads is left before it. */
  behind(name: string): bigint {
    const lane = this.#lanes.get(name);
    return lane?.records[0]?.offset ?? lane?.next ?? 0n;
  }

  get partitions(): readonly string[] {
    return [...this.#lanes.keys()];
  }

  /** Takes the first records of a partition, up to some bytes. */
  take(name: string, upToBytes: number): Fetched[] {
    const lane = this.#lanes.get(name);
    if (!lane) return [];
    let bytes = 0;
    let count = 0;
    while (count < lane.records.length && (count === 0 || bytes < upToBytes))
      bytes += sizeOf(lane.records[count++] as Fetched);
    const taken = lane.records.splice(0, count);
    lane.bytes -= bytes;
    // Early enough that the next ones are there before these are gone: a member that rests hears of it late.
    if (lane.paused && lane.bytes <= this.#laneBytes * RESUMED_AT) {
      lane.paused = false;
      this.#consumer?.resume(partitionOf(name));
    }
    return taken;
  }

  /** For others to see; nobody begins there. */
  async commit(offsets: ReadonlyMap<string, bigint>): Promise<void> {
    await this.#consumer?.commit(
      [...offsets].map(([name, offset]) => ({ ...partitionOf(name), offset })),
    );
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#consumer?.close();
  }

  /** Where each offset must be there, what is left out is told by the next record. */
  #pass(name: string, nextOffset: bigint): void {
    const lane = this.#lanes.get(name);
    if (!lane || this.#options.dense || nextOffset <= lane.next) return;
    lane.next = nextOffset;
    this.#wake.resolve(undefined);
  }

  #deliver(batch: Batch): Promise<void> {
    const lane = this.#lanes.get(partitionName(batch));
    if (!lane) return Promise.reject(added(batch));
    const before = lane.bytes;
    for (const record of batch.records) {
      if (record.offset < lane.next) continue;
      if (record.offset > lane.next && this.#options.dense)
        return Promise.reject(gap(record, lane.next));
      lane.records.push(record);
      lane.bytes += sizeOf(record);
      lane.next = record.offset + 1n;
    }
    if (batch.nextOffset > lane.next) lane.next = batch.nextOffset;
    // Not by holding the batch back: others may have to come before this one is wanted.
    if (lane.bytes > this.#laneBytes) {
      lane.paused = true;
      this.#consumer?.pause(batch);
    }
    this.#wake.resolve(undefined);
    lane.inflow.add(lane.bytes - before);
    const isAtEnd = batch.nextOffset >= batch.endOffset;
    return isAtEnd && lane.inflow.isFast ? this.#pace.rest(REST_MS) : Promise.resolve();
  }
}

function gap({ topic, partition, offset }: Fetched, next: bigint): BanyanError {
  return new BanyanError(
    'KAFKA_LOG_LOST',
    `partition ${partition} of topic ${topic} goes on at offset ${offset} where ${next} should come`,
    {
      hint: 'Somebody has deleted records, or the topic is compacted (cleanup.policy must be delete): roll the capability back to monolith and start its sync anew.',
    },
  );
}

/** Of a partition that nobody knew when the flow began. */
export function added({ topic, partition }: TopicPartition): BanyanError {
  return new BanyanError(
    'KAFKA_UNREACHABLE',
    `topic ${topic} has got a partition ${partition} since the flow began: it begins anew`,
  );
}
