// What topics end with: the marks of their last records, and of more from further back until they
// settle what is asked. Read by a member of a group of its own, which is gone afterwards. Retention may
// delete meanwhile what is being read: then it is looked at again, from where the topic begins by then.
import { randomUUID } from 'node:crypto';
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { KafkaClient } from '../../core/kafka/client.ts';
import { untilAborted } from '../../core/lifecycle.ts';
import { markOf, type Mark } from '../domain/debezium/position.ts';
import type { Ending, Settles } from '../domain/footing.ts';

export interface TopicEnd {
  readonly kafka: Pick<KafkaClient, 'admin' | 'consumer'>;
  /** Of one partition each. */
  readonly topics: readonly string[];
  readonly groupId: string;
}

/** How many records from the end, at the first look and at the second; then ever more. */
const BACK = [5_000n, 500_000n] as const;
const MORE = 10n;
/** As often retention may be faster. */
const LOOKS = 10;

/** Undefined when the signal aborts: what had been read by then says nothing. Throws KAFKA_… */
export async function readTopicEnd(
  end: TopicEnd,
  isSettled: Settles,
  signal: AbortSignal,
): Promise<Ending | undefined> {
  for (let back: bigint = BACK[0]; ; back = back < BACK[1] ? BACK[1] : back * MORE) {
    const found = await lookAgain(end, back, signal);
    if (!found || found.isAll || isSettled(found.marks, back)) return found;
  }
}

type Found = Ending & { readonly isAll: boolean };

async function lookAgain(
  end: TopicEnd,
  back: bigint,
  signal: AbortSignal,
): Promise<Found | undefined> {
  for (let looks = 0; looks < LOOKS; looks++)
    try {
      return await look(end, back, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isBanyanError(error, 'KAFKA_LOG_LOST')) throw error;
    }
  throw new BanyanError(
    'KAFKA_UNREACHABLE',
    `records of ${end.topics.join(', ')} are deleted faster than they can be read`,
    { hint: 'Raise retention.ms of the topic, or retention.bytes; it is tried again.' },
  );
}

async function look(end: TopicEnd, back: bigint, signal: AbortSignal): Promise<Found | undefined> {
  const { from, upTo, ...known } = await spans(end, back);
  const ends = new Ends();
  if (upTo.size === 0) return { marks: ends.marks, ...known };
  const done = Promise.withResolvers<undefined>();
  const consumer = await end.kafka.consumer({
    groupId: `${end.groupId}.${randomUUID()}`,
    topics: [...upTo.keys()],
    assigned: ({ partitions }) =>
      Promise.resolve(
        partitions.map((one) => ({ ...one, offset: from.get(one.topic) ?? 'latest' })),
      ),
    deliver: ({ topic, records, nextOffset }) => {
      for (const { headers } of records) {
        const mark = markOf(headers);
        if (mark) ends.note(mark);
      }
      if (nextOffset >= (upTo.get(topic) ?? 0n)) upTo.delete(topic);
      if (upTo.size === 0) done.resolve(undefined);
      return Promise.resolve();
    },
  });
  const { over, forget } = untilAborted(signal);
  try {
    await Promise.race([done.promise, consumer.ended, over]);
  } finally {
    forget();
    await consumer.close();
  }
  return signal.aborted ? undefined : { marks: ends.marks, ...known };
}

interface Spans {
  /** By topic, where it is read from and up to where. */
  readonly from: Map<string, bigint>;
  readonly upTo: Map<string, bigint>;
  readonly isAll: boolean;
  readonly isCut: boolean;
}

async function spans({ kafka, topics }: TopicEnd, back: bigint): Promise<Spans> {
  const [from, upTo] = [new Map<string, bigint>(), new Map<string, bigint>()];
  let [isAll, isCut] = [true, false];
  const admin = await kafka.admin();
  try {
    for (const topic of topics)
      for (const { partition, low, high } of await admin.ranges(topic)) {
        if (partition > 0) continue;
        if (low > 0n) isCut = true;
        const start = high - back < low ? low : high - back;
        if (start === high) continue;
        if (start > low) isAll = false;
        from.set(topic, start);
        upTo.set(topic, high);
      }
  } finally {
    await admin.close();
  }
  return { from, upTo, isAll, isCut };
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
