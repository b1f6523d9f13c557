// A partitioner for kafkajs that tells how many partitions a topic has: which one a record goes to, its pack
// knows (record-pack.ts).
import type { ICustomPartitioner, Message } from 'kafkajs';

/** Asked about in place of a record. */
export const PROBE: Message = { value: null };

/** Gives the number of partitions as a partition. */
export const createPartitioner: ICustomPartitioner =
  () =>
  ({ partitionMetadata }) =>
    partitionMetadata.length;
