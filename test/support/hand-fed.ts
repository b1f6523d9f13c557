// A Kafka of one topic with one partition, whose only consumer is given its batches by hand.
import type {
  Admin,
  Consumer,
  ConsumerOptions,
  Fetched,
  KafkaClient,
} from '../../core/kafka/client.ts';

export const HAND_FED = { topic: 't', partition: 0 };

export interface HandFed {
  readonly kafka: KafkaClient;
  /** A batch with a record at each of these offsets; the partition goes on, and ends, at `next`. */
  feed(offsets: readonly bigint[], next: bigint): Promise<void>;
  /** Up to `next` stood markers only. */
  pass(next: bigint): void;
  /** Another topic is there by now. */
  come(topic: string): void;
  /** The topic has a second partition by now. */
  grow(): void;
}

export function handFed(): HandFed {
  let given: ConsumerOptions | undefined;
  let end = 0n;
  let partitions = 1;
  const there = new Set([HAND_FED.topic]);
  const nothing = (): undefined => undefined;
  const resolved = (): Promise<void> => Promise.resolve();
  const consumer: Consumer = {
    ...{ ended: new Promise<never>(nothing), pause: nothing, resume: nothing },
    ...{ commit: resolved, close: resolved },
  };
  const admin = {
    topics: (names: readonly string[]) =>
      Promise.resolve(new Map(names.filter((name) => there.has(name)).map((name) => [name, {}]))),
    ranges: () =>
      Promise.resolve(
        Array.from({ length: partitions }, (_, partition) => ({
          ...{ partition, low: 0n },
          high: partition === 0 ? end : 0n,
        })),
      ),
    close: resolved,
  } as unknown as Admin;
  const assignment = { partitions: [HAND_FED], signal: new AbortController().signal };
  return {
    kafka: {
      admin: () => Promise.resolve(admin),
      consumer: (options) => {
        given = options;
        return Promise.resolve(consumer);
      },
      producer: () => Promise.reject(new Error('none')),
    },
    feed: async (offsets, next) => {
      end = next;
      const records = offsets.map(record);
      const batch = { ...HAND_FED, records, nextOffset: next, endOffset: next };
      await given?.deliver(batch, assignment);
    },
    pass: (next) => {
      end = next;
      given?.passed?.(HAND_FED, next);
    },
    come: (topic) => {
      there.add(topic);
    },
    grow: () => {
      partitions = 2;
    },
  };
}

function record(offset: bigint): Fetched {
  return { ...HAND_FED, offset, key: null, value: '', headers: {}, timestampMs: 0 };
}
