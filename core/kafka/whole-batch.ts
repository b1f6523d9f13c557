// Makes sure that a batch is written whole. kafkajs notes which brokers have answered, not which
// partitions: where a partition's leader moves, while a batch is under way, to a broker that has answered
// already, its records are never sent; and those of a partition that it does not know it leaves out. Both
// end as a success. So each record keeps the partition that was chosen for it first, over all repetitions,
// and each of these partitions must be among the answers.
import kafkajs, {
  type ICustomPartitioner,
  type Message,
  type Producer as Library,
  type ProducerBatch,
} from 'kafkajs';
import { BanyanError } from '../errors.ts';

export class WholeBatches {
  readonly #chosen = new WeakMap<Message, number>();

  readonly createPartitioner: ICustomPartitioner = () => {
    const choose = kafkajs.Partitioners.DefaultPartitioner();
    return (args) => {
      const partition = this.#chosen.get(args.message) ?? choose(args);
      this.#chosen.set(args.message, partition);
      return partition;
    };
  };

  /** Resolves once every partition's leader has answered. The library's partitioner must be from here. */
  async send(library: Pick<Library, 'sendBatch'>, batch: ProducerBatch): Promise<void> {
    const answers = await library.sendBatch(batch);
    const answered = new Set(
      answers
        .filter(({ errorCode }) => errorCode === 0)
        .map(({ topicName, partition }) => `${topicName} ${partition}`),
    );
    for (const { topic, messages } of batch.topicMessages ?? [])
      for (const message of messages) {
        const partition = this.#chosen.get(message);
        if (partition === undefined || !answered.has(`${topic} ${partition}`))
          throw new BanyanError(
            'KAFKA_UNREACHABLE',
            `no broker has answered for partition ${partition ?? '?'} of topic ${topic} while records are written`,
            {
              hint: 'Its leader has moved meanwhile, or the topic has no such partition; what was not acknowledged is written again.',
            },
          );
      }
  }
}
