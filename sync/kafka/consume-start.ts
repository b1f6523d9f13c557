// Where in a partition a flow may begin: at any record that was taken already, for before a position
// stand all smaller ones, so behind it comes everything that was not. A flow that has been here goes on
// before where it stopped, or where the topic begins by now: what was deleted in between may have been of
// no account. One that is new looks for such a record from the end backwards.
import { BanyanError } from '../../core/errors.ts';
import type { KafkaClient } from '../../core/kafka/client.ts';
import { partitionOf, type Offsets } from './consume-offsets.ts';

export interface Start {
  readonly offset: bigint;
  /** Nothing that was not taken can lie before it, whatever the first record is. */
  readonly sure: boolean;
  /** All that stood before it has been read, to the last record. */
  readonly joined: boolean;
}

/** How far a new flow looks back before it begins at the first record. */
const BACK = [10_000n, 1_000_000n];
export const ANEW =
  'Roll the capability back to monolith and start its sync anew: the copy brings what is missing.';

/**
 * That a flow that has read topics goes on in these, or in some of them. In others, offsets say nothing,
 * and what lies unread in the old ones would be passed by. Throws KAFKA_LOG_LOST.
 */
export function assertSameTopics(topics: readonly string[], stored: Offsets): void {
  const read = new Set([...stored.keys()].map((name) => partitionOf(name).topic));
  if (read.size === 0 || topics.some((topic) => read.has(topic))) return;
  throw new BanyanError(
    'KAFKA_LOG_LOST',
    `the flow has read ${[...read].sort().join(', ')} so far, and is to read ${topics.join(', ')} now: where it would go on there is not known`,
    {
      hint: 'changeLog.kafka.prefix or layout was changed while the flow was there. Set it back, or roll the capability back to monolith and start its sync anew.',
    },
  );
}

/**
 * That a flow finds the partitions that it has read. With others, a key's records stand in another one since,
 * and nothing says which of them came first. Throws KAFKA_LOG_LOST.
 */
export function assertSamePartitions(found: Iterable<string>, stored: Offsets): void {
  const there = countsOf(found);
  for (const [topic, before] of countsOf(stored.keys())) {
    const now = there.get(topic);
    if (now === undefined || now === before) continue;
    throw new BanyanError(
      'KAFKA_LOG_LOST',
      `topic ${topic} has ${now} partitions, and had ${before} when the flow read it: the order of a row's changes is lost`,
      { hint: ANEW },
    );
  }
}

/** How many partitions each topic has. */
export function countsOf(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) {
    const { topic } = partitionOf(name);
    counts.set(topic, (counts.get(topic) ?? 0) + 1);
  }
  return counts;
}

/** The first of these at which a record stands that was taken is it. Throws KAFKA_NO_TOPIC, KAFKA_LOG_LOST. */
export async function startsOf(
  kafka: KafkaClient,
  topic: string,
  stored: bigint | undefined,
): Promise<Start[]> {
  const admin = await kafka.admin();
  try {
    if (!(await admin.topics([topic])).has(topic))
      throw new BanyanError('KAFKA_NO_TOPIC', `there is no topic ${topic} yet`, {
        hint: 'Is `banyan relay` running for this source? It makes the topic.',
      });
    const [range] = await admin.ranges(topic);
    const { low, high } = range ?? { low: 0n, high: 0n };
    return stored === undefined ? backwards(low, high) : [goingOn(topic, stored, low, high)];
  } finally {
    await admin.close();
  }
}

/** The offset at which a topic begins by now. Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
export async function beginningOf(kafka: KafkaClient, topic: string): Promise<bigint> {
  const admin = await kafka.admin();
  try {
    const [range] = await admin.ranges(topic);
    return range?.low ?? 0n;
  } finally {
    await admin.close();
  }
}

function goingOn(topic: string, next: bigint, low: bigint, high: bigint): Start {
  if (next > high)
    throw new BanyanError(
      'KAFKA_LOG_LOST',
      `topic ${topic} ends at offset ${high}, and ${next} was to come: it was made anew, or its brokers have lost records`,
      { hint: ANEW },
    );
  // Whether what retention has deleted was needed, the first change that comes behind it says.
  if (next < low) return { offset: low, sure: true, joined: false };
  return next === low
    ? { offset: next, sure: true, joined: true }
    : { offset: next - 1n, sure: false, joined: true };
}

function backwards(low: bigint, high: bigint): Start[] {
  const near = BACK.map((back) => high - back).filter((offset) => offset > low);
  return [
    ...near.map((offset) => ({ offset, sure: false, joined: false })),
    { offset: low, sure: true, joined: false },
  ];
}
