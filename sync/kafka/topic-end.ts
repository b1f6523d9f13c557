// What topics end with: the marks of their last records, and of more from further back until they
// settle what is asked. Read by a member of a group of its own, which is gone afterwards.
import { randomUUID } from 'node:crypto';
import type { KafkaClient } from '../../core/kafka/client.ts';
import { aborted } from '../../core/lifecycle.ts';
import { markOf, type Mark } from '../domain/debezium/position.ts';

export interface TopicEnd {
  readonly kafka: Pick<KafkaClient, 'admin' | 'consumer'>;
  /** Of one partition each. */
  readonly topics: readonly string[];
  readonly groupId: string;
}

/** How many records from the end, at each look; then all. */
const BACK = [5_000n, 500_000n];

/** Resolves with what there is when the signal aborts. */
export async function readTopicEnd(
  end: TopicEnd,
  isSettled: (marks: readonly Mark[]) => boolean,
  signal: AbortSignal,
): Promise<readonly Mark[]> {
  for (const back of [...BACK, undefined]) {
    const { marks, isAll } = await look(end, back, signal);
    if (isAll || signal.aborted || isSettled(marks)) return marks;
  }
  return [];
}

async function look(
  { kafka, topics, groupId }: TopicEnd,
  back: bigint | undefined,
  signal: AbortSignal,
): Promise<{ marks: Mark[]; isAll: boolean }> {
  const from = new Map<string, bigint>();
  const missing = new Map<string, bigint>();
  let isAll = true;
  const admin = await kafka.admin();
  try {
    for (const topic of topics)
      for (const { partition, low, high } of await admin.ranges(topic)) {
        const start = back === undefined || high - back < low ? low : high - back;
        if (partition > 0 || start === high) continue;
        if (start > low) isAll = false;
        from.set(topic, start);
        missing.set(topic, high);
      }
  } finally {
    await admin.close();
  }
  const ends = new Ends();
  if (missing.size === 0) return { marks: ends.marks, isAll };
  const done = Promise.withResolvers<undefined>();
  const consumer = await kafka.consumer({
    groupId: `${groupId}.${randomUUID()}`,
    topics: [...missing.keys()],
    assigned: ({ partitions }) =>
      Promise.resolve(
        partitions.map((one) => ({ ...one, offset: from.get(one.topic) ?? 'latest' })),
      ),
    deliver: ({ topic, records, nextOffset }) => {
      for (const { headers } of records) {
        const mark = markOf(headers);
        if (mark) ends.note(mark);
      }
      if (nextOffset >= (missing.get(topic) ?? 0n)) missing.delete(topic);
      if (missing.size === 0) done.resolve(undefined);
      return Promise.resolve();
    },
  });
  try {
    await Promise.race([done.promise, consumer.ended, aborted(signal)]);
  } finally {
    await consumer.close();
  }
  return { marks: ends.marks, isAll };
}

/** Of all marks those that count: by life, the furthest and the one that says most. */
class Ends {
  readonly #furthest = new Map<string, Mark>();
  readonly #fullest = new Map<string, Mark>();

  note(mark: Mark): void {
    const life = mark.life ?? '';
    const furthest = this.#furthest.get(life);
    if (!furthest || mark.position.commitLsn > furthest.position.commitLsn)
      this.#furthest.set(life, mark);
    const fullest = this.#fullest.get(life);
    if (!fullest || mark.completeTo > fullest.completeTo) this.#fullest.set(life, mark);
  }

  get marks(): Mark[] {
    return [...this.#furthest.values(), ...this.#fullest.values()];
  }
}
