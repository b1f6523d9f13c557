// The change log's home in topics of tables: all partitions of a flow's topics, each read in its order,
// each with an offset of its own in the target (consume-lanes.ts says what holds them together).
import { BanyanError } from '../../core/errors.ts';
import type { KafkaClient } from '../../core/kafka/client.ts';
import type { Lsn } from '../../core/postgres/lsn.ts';
import type { ChangeLog } from '../change-log.ts';
import type { Piece } from '../domain/change.ts';
import type { Checkpoint } from '../target.ts';
import { Account, TICK_MS } from './consume-account.ts';
import { LanesAssembly, type LanesOptions } from './consume-lanes.ts';
import { partitionName } from './consume-offsets.ts';
import { assertSamePartitions } from './consume-start.ts';
import { RecordQueue } from './consume-queue.ts';

export interface TablesLogOptions extends Omit<LanesOptions, 'from' | 'lanes' | 'offsets'> {
  readonly kafka: KafkaClient;
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Bytes that may wait for the flow before no more is fetched. */
  readonly queueBytes?: number | undefined;
}

const MB = 1_048_576;
/** Bytes of records of all partitions that one look turns into pieces: they are written together. */
const READ_BYTES = 8 * MB;

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_NO_TOPIC, KAFKA_LOG_LOST. */
export async function openTablesLog(
  options: TablesLogOptions,
  { position, offsets = new Map() }: Checkpoint,
): Promise<ChangeLog> {
  const { kafka, groupId, topics, queueBytes = 16 * MB } = options;
  // A new flow reads from the beginning, and passes by what lies before it was made.
  const found = await beginnings(kafka, topics);
  assertSamePartitions(
    found.map(([name]) => name),
    offsets,
  );
  const lanes = new Map(found.map(([name, low]) => [name, offsets.get(name)?.next ?? low]));
  const queue = new RecordQueue({ kafka, groupId, from: lanes, dense: false, queueBytes });
  await queue.open();
  return new TablesLog(
    queue,
    new LanesAssembly({ ...options, from: position, lanes, offsets }),
    position.timeline,
  );
}

class TablesLog implements ChangeLog {
  readonly timeline: number;
  readonly #queue: RecordQueue;
  readonly #lanes: LanesAssembly;
  readonly #account: Account;
  readonly #ticks: NodeJS.Timeout;

  constructor(queue: RecordQueue, lanes: LanesAssembly, timeline: number) {
    this.#queue = queue;
    this.#lanes = lanes;
    this.timeline = timeline;
    this.#account = new Account((offsets) => queue.commit(offsets));
    this.#ticks = setInterval(() => {
      queue.poke();
    }, TICK_MS);
  }

  async read(signal: AbortSignal): Promise<readonly Piece[]> {
    const { partitions } = this.#queue;
    const wanted = (name: string): boolean => !this.#lanes.waits(name);
    while (await this.#queue.wait(signal, wanted, () => this.#account.owes)) {
      for (const name of partitions)
        if (wanted(name))
          this.#lanes.give(name, this.#queue.take(name, READ_BYTES / partitions.length));
      const pieces = await this.#lanes.take();
      if (pieces.length > 0) return this.#account.hand(pieces);
      if (this.#account.owes) return this.#account.note();
    }
    return this.#account.note();
  }

  acknowledge(endLsn: Lsn): void {
    this.#account.acknowledge(endLsn);
  }

  close(): Promise<void> {
    clearInterval(this.#ticks);
    return this.#queue.close();
  }
}

/** The first offset of each partition. */
async function beginnings(
  kafka: KafkaClient,
  topics: readonly string[],
): Promise<[string, bigint][]> {
  const admin = await kafka.admin();
  try {
    const there = await admin.topics(topics);
    const missing = topics.filter((topic) => !there.has(topic));
    if (missing.length > 0)
      throw new BanyanError('KAFKA_NO_TOPIC', `there is no topic ${missing.join(', ')} yet`, {
        hint: 'Is `banyan relay` running for this source? It makes the topics.',
      });
    const ranges = await Promise.all(
      topics.map(async (topic) =>
        (await admin.ranges(topic)).map(({ partition, low }): [string, bigint] => [
          partitionName({ topic, partition }),
          low,
        ]),
      ),
    );
    return ranges.flat();
  } finally {
    await admin.close();
  }
}
