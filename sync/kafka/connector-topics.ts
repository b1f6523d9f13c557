// The partitions of a connector's topics, and where a flow goes on in each. A new flow begins at their
// ends: what lies before was committed, and the copy has it. A topic that is not there yet is read from its
// first record on, once the connector has made it, with as many partitions as it has then.
import { BanyanError } from '../../core/errors.ts';
import type { Admin } from '../../core/kafka/client.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import type { LogPlace } from '../domain/change.ts';
import { partitionName, partitionOf, type Offsets } from './consume-offsets.ts';
import { ANEW, assertSamePartitions } from './consume-start.ts';

export interface Beginning {
  /** Of the partitions that are there. */
  readonly lanes: Offsets;
  /** To be stored, where the flow is new. */
  readonly begins: Offsets | undefined;
  readonly missing: readonly string[];
}

/** Throws KAFKA_LOG_LOST where records are gone that were still to come. */
export async function beginningOf(
  admin: Admin,
  topics: readonly string[],
  stored: Offsets,
  position: Position,
): Promise<Beginning> {
  const isNew = stored.size === 0;
  if (!isNew) assertKnown(topics, stored);
  const there = await admin.topics(topics);
  const missing = topics.filter((topic) => !there.has(topic));
  const start = { ...position, commitLsn: 0n, seq: 0 };
  // A snapshot of before the flow began is one of what it copies itself.
  const copied = position.commitLsn;
  const lanes = new Map<string, LogPlace>();
  for (const topic of there.keys())
    for (const { partition, low, high } of await admin.ranges(topic)) {
      const name = partitionName({ topic, partition });
      const next = stored.get(name)?.next ?? (isNew ? high : 0n);
      if (next > high) throw gone(name, `ends at offset ${high}`, next);
      if (next < low) throw gone(name, `begins at offset ${low}`, next);
      lanes.set(name, { copied, ...(stored.get(name) ?? { next, position: start, part: 0 }) });
    }
  const absent = missing.map((topic): [string, LogPlace] => [
    partitionName({ topic, partition: 0 }),
    { next: 0n, position: start, part: 0, copied },
  ]);
  assertSamePartitions(lanes.keys(), readOf(stored));
  return { lanes, missing, begins: isNew ? new Map([...lanes, ...absent]) : undefined };
}

/** Without the topics of which nothing has been read: of those that were not there, one partition stands for all. */
function readOf(stored: Offsets): Offsets {
  const read = new Set(
    [...stored].filter(([, { next }]) => next > 0n).map(([name]) => partitionOf(name).topic),
  );
  return new Map([...stored].filter(([name]) => read.has(partitionOf(name).topic)));
}

export async function endsOf(
  admin: Admin,
  topics: readonly string[],
): Promise<Map<string, bigint>> {
  const ranges = await Promise.all(
    topics.map(async (topic) =>
      (await admin.ranges(topic)).map(({ partition, high }): [string, bigint] => [
        partitionName({ topic, partition }),
        high,
      ]),
    ),
  );
  return new Map(ranges.flat());
}

/** In a topic of another name, offsets say nothing, and what lies unread in the old one would be passed by. */
function assertKnown(topics: readonly string[], stored: Offsets): void {
  const read = new Set([...stored.keys()].map((name) => partitionOf(name).topic));
  const unknown = topics.filter((topic) => !read.has(topic));
  if (unknown.length === 0) return;
  throw new BanyanError(
    'KAFKA_LOG_LOST',
    `the flow has read ${[...read].sort().join(', ')} so far, and is to read ${unknown.join(', ')} now: where it would go on there is not known`,
    {
      hint: `The topics under source.debezium were changed while the flow was there. Set them back. Or: ${ANEW}`,
    },
  );
}

function gone(name: string, what: string, next: bigint): BanyanError {
  const { topic, partition } = partitionOf(name);
  return new BanyanError(
    'KAFKA_LOG_LOST',
    `partition ${partition} of topic ${topic} ${what}, and ${next} was to come: it was made anew, or its records were deleted before the flow read them`,
    { hint: `Raise the topic's retention above the longest time that a flow may be away. ${ANEW}` },
  );
}
