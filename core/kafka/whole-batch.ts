// Makes sure that a batch is written whole. kafkajs notes which brokers have answered, not which
// partitions: where a partition's leader moves, while a batch is under way, to a broker that has answered
// already, its records are never sent; and those of a partition that it does not know it leaves out. Both
// end as a success. So each record keeps the partition that was chosen for it first, over all repetitions,
// and each of these partitions must be among the answers.
import type { CompressionTypes, Message, Producer as Library } from 'kafkajs';
import { BanyanError } from '../errors.ts';
import { PROBE } from './partitioner.ts';
import type { PackedRecords } from './record-pack.ts';

/** Resolves once every partition's leader has answered. The library's partitioner must be ours, and its requests mended. */
export async function sendWhole(
  library: Pick<Library, 'sendBatch'>,
  topics: ReadonlyMap<string, PackedRecords>,
  compression: CompressionTypes,
): Promise<void> {
  const all = [...topics].map(([topic, records]) => ({ topic, records: new Grouped(records) }));
  const sent = library.sendBatch({
    ...{ acks: -1, compression },
    // What kafkajs does with messages, it does with these.
    topicMessages: all.map(({ topic, records }) => ({
      topic,
      messages: records as unknown as Message[],
    })),
  });
  const answers = await sent.finally(() => {
    // A repetition for a broker that was slow may still wait for its turn: it would write what comes next.
    for (const { records } of all) records.end();
  });
  const answered = new Set(
    answers
      .filter(({ errorCode }) => errorCode === 0)
      .map(({ topicName, partition }) => `${topicName} ${partition}`),
  );
  for (const { topic, records } of all)
    for (const partition of records.partitions)
      if (!answered.has(`${topic} ${partition}`))
        throw new BanyanError(
          'KAFKA_UNREACHABLE',
          `no broker has answered for partition ${partition} of topic ${topic} while records are written`,
          {
            hint: 'Its leader has moved meanwhile, or the topic has no such partition; what was not acknowledged is written again.',
          },
        );
}

type Groups = Record<string, unknown>;

/** Stands for a list of messages, and lets kafkajs do the two things that it does with one. */
class Grouped {
  readonly #records: PackedRecords;
  #groups: ReadonlyMap<number, PackedRecords> | undefined;

  constructor(records: PackedRecords) {
    this.#records = records;
  }

  get partitions(): readonly number[] {
    return [...(this.#groups?.keys() ?? [])];
  }

  end(): void {
    for (const records of this.#groups?.values() ?? []) records.end();
  }

  /** Looks for messages without a value: there is none. */
  find(): undefined {
    return undefined;
  }

  /** Groups by partition: `add` puts a message among those of the partition that our partitioner gives. */
  reduce(add: (groups: Groups, message: Message) => Groups, groups: Groups): Groups {
    this.#groups ??= this.#records.byPartition(Number(Object.keys(add({}, PROBE))[0]));
    for (const [partition, records] of this.#groups) groups[partition] = records;
    return groups;
  }
}
