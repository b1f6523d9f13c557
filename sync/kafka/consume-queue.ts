// Records between the consumer group and the flow: in each partition those that come next, and no more
// than some bytes; a partition that is full is paused. Where a partition begins is ours to say, at every
// assignment: what the group gives twice, or late, or from elsewhere is left out here.
import { BanyanError } from '../../core/errors.ts';
import type { Batch, Consumer, Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { aborted } from '../../core/lifecycle.ts';
import { partitionName, partitionOf } from './consume-offsets.ts';

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
}

/** About the memory that a record takes. */
export function sizeOf({ key, value, headers }: Fetched): number {
  let size = 64 + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) size += name.length + (headers[name]?.length ?? 0);
  return size;
}

export class RecordQueue {
  readonly #options: QueueOptions;
  readonly #lanes: Map<string, Lane>;
  /** Bytes of one partition. */
  readonly #laneBytes: number;
  #consumer: Consumer | undefined;
  #failure: unknown;
  #wake = Promise.withResolvers<undefined>();

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#lanes = new Map(
      [...options.from].map(([name, next]) => [
        name,
        { next, records: [], bytes: 0, paused: false },
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
      maxBytes: queueBytes,
    });
    this.#consumer.ended.catch((error: unknown) => {
      this.#failure ??= error;
      this.#wake.resolve(undefined);
    });
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
    const over = aborted(signal);
    while (!signal.aborted) {
      if (this.#failure !== undefined) throw this.#failure as Error;
      if (otherwise()) return true;
      for (const [name, { records }] of this.#lanes)
        if (records.length > 0 && wanted(name)) return true;
      await Promise.race([this.#wake.promise, over]);
      this.#wake = Promise.withResolvers();
    }
    return false;
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
    if (lane.paused && lane.bytes <= this.#laneBytes / 2) {
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
    await this.#consumer?.close();
  }

  #deliver(batch: Batch): Promise<void> {
    const lane = this.#lanes.get(partitionName(batch));
    if (!lane) return Promise.reject(added(batch));
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
    return Promise.resolve();
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

function added({ topic, partition }: Batch): BanyanError {
  return new BanyanError(
    'KAFKA_UNREACHABLE',
    `topic ${topic} has got a partition ${partition} since the flow began: it begins anew`,
  );
}
