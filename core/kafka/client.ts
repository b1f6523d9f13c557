// What the toolkit asks of Kafka, and nothing of the library that does it: a producer that writes a
// gapless run, a consumer that begins where it is told, and what topics are and hold. Only this folder
// knows kafkajs (kafkajs.ts); another client takes its place behind these words.

import type { RecordPack } from './record-pack.ts';
import type { KafkaRecord } from './record.ts';

export type { KafkaRecord } from './record.ts';

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface Producer {
  /**
   * Resolves once all in-sync replicas have the records. Records of one partition are written in the
   * order given, over all calls; a call may be made before the last one has resolved. Rejects once, and
   * from then on for ever: what was written is a gapless run, and whoever goes on opens a new producer.
   */
  send(records: readonly KafkaRecord[]): Promise<void>;
  /** The same of records that wait in packs; nothing is done with those before this has settled. */
  sendPacked(packs: readonly RecordPack[]): Promise<void>;
  /** Waits for what is being sent. Idempotent. */
  close(): Promise<void>;
}

export interface Fetched extends TopicPartition {
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestampMs: number;
  /** What it takes as it came; where that is not known, what it says must do. */
  readonly bytes?: number;
}

/** Records of one partition, in order; never none. */
export interface Batch extends TopicPartition {
  readonly records: readonly Fetched[];
  /** Where the partition goes on after this batch: not always the last record's offset + 1. */
  readonly nextOffset: bigint;
  /** Where the partition ended when this was fetched. */
  readonly endOffset: bigint;
}

/** What the group gave this member, until the next rebalance. */
export interface Assignment {
  readonly partitions: readonly TopicPartition[];
  /** Aborts when it is over: what was delivered under it may be delivered to another member by now. */
  readonly signal: AbortSignal;
}

export interface StartOffset extends TopicPartition {
  readonly offset: bigint | 'earliest' | 'latest';
}

export interface ConsumerOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  /** Says where each partition begins. Called at every assignment, also of none; nothing of it is delivered before. */
  assigned(assignment: Assignment): Promise<readonly StartOffset[]>;
  /**
   * Takes a batch. The partition's next one comes after it has resolved, so a promise that is kept
   * pending is back-pressure; the membership is kept alive meanwhile. A rejection ends the consumer.
   */
  deliver(batch: Batch, assignment: Assignment): Promise<void>;
  /** Says that a partition goes on at `nextOffset`, and nothing that anybody reads stands before it: markers of transactions. */
  passed?(of: TopicPartition, nextOffset: bigint): void;
  /** Bytes that one fetch may bring of one partition, and of all. A larger record comes all the same. */
  readonly maxPartitionBytes?: number;
  readonly maxBytes?: number;
}

export interface Consumer {
  /** Resolves after close(), rejects when it has failed: then nothing more is delivered. */
  readonly ended: Promise<void>;
  /** Fetches no more of it; a new assignment forgets this. */
  pause(of: TopicPartition): void;
  resume(of: TopicPartition): void;
  /** Writes offsets of the group, for others to see: nobody starts from them here. */
  commit(offsets: readonly (TopicPartition & { readonly offset: bigint })[]): Promise<void>;
  close(): Promise<void>;
}

export interface NewTopic {
  readonly topic: string;
  readonly partitions: number;
  /** The brokers' default where left out. */
  readonly replication?: number | undefined;
  readonly config: Readonly<Record<string, string>>;
}

export interface TopicFacts {
  readonly topic: string;
  readonly partitions: number;
  /** Fewest copies that any partition has. */
  readonly replication: number;
  /** As in force: the topic's own, else the brokers'. Empty where we may not read it. */
  readonly config: Readonly<Record<string, string>>;
}

export interface PartitionRange {
  readonly partition: number;
  /** Offset of the first record that is still there. */
  readonly low: bigint;
  /** Offset that the next record gets. */
  readonly high: bigint;
}

export interface Admin {
  readonly brokers: number;
  /** Of the named topics those that exist. */
  topics(names: readonly string[]): Promise<ReadonlyMap<string, TopicFacts>>;
  /** Creates those that are not there yet. */
  create(topics: readonly NewTopic[]): Promise<void>;
  ranges(topic: string): Promise<readonly PartitionRange[]>;
  /** What a group has committed: -1n where nothing. */
  groupOffsets(
    groupId: string,
    topics: readonly string[],
  ): Promise<readonly (TopicPartition & { readonly offset: bigint })[]>;
  close(): Promise<void>;
}

/** All throw KAFKA_UNREACHABLE and KAFKA_REFUSED; a consumer also ends with KAFKA_LOG_LOST. */
export interface KafkaClient {
  producer(): Promise<Producer>;
  consumer(options: ConsumerOptions): Promise<Consumer>;
  admin(): Promise<Admin>;
}
