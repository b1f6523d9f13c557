// Where reading a partition may begin: at none of its records that are gone, and none that never came.
import { BanyanError } from '../errors.ts';
import type { PartitionRange, StartOffset, TopicPartition } from './client.ts';

/** The offset at which it does. Throws KAFKA_REFUSED where there is no such partition, KAFKA_LOG_LOST. */
export function beginningIn(
  range: PartitionRange | undefined,
  at: TopicPartition,
  start: StartOffset['offset'],
): bigint {
  if (!range) throw new BanyanError('KAFKA_REFUSED', `there is no ${nameOf(at)}`);
  const offset = start === 'earliest' ? range.low : start === 'latest' ? range.high : start;
  if (!holds(range, offset)) throw lost(at, offset, range);
  return offset;
}

/** Whether the record at an offset is there, or the next to come. */
export function holds(range: PartitionRange | undefined, offset: bigint): boolean {
  return range !== undefined && offset >= range.low && offset <= range.high;
}

export function lost(
  at: TopicPartition,
  offset: bigint,
  range: PartitionRange | undefined,
): BanyanError {
  const past = range && offset > range.high;
  return new BanyanError(
    'KAFKA_LOG_LOST',
    `${nameOf(at)} has no offset ${offset}: ${range ? `it holds ${range.low} to ${range.high}` : 'it is gone'}`,
    {
      hint: past
        ? 'The brokers have lost what they had acknowledged, or the topic was made anew. Have the flow copy its tables again.'
        : 'Its retention is shorter than the flow was away: raise changeLog.kafka.topics.retentionMs (retention.ms of a topic that is there), and have the flow copy its tables again.',
    },
  );
}

export function nameOf({ topic, partition }: TopicPartition): string {
  return `partition ${partition} of topic ${topic}`;
}
