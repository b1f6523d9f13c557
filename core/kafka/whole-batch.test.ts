import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import type { Message, Producer as Library, TopicMessages } from 'kafkajs';
import { WholeBatches } from './whole-batch.ts';

interface TopicData {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly messages: Message[] }[];
}

class NotLeader extends Error {
  override readonly name = 'KafkaJSProtocolError';
  readonly type = 'NOT_LEADER_FOR_PARTITION';
  readonly retriable = true;
}

const require = createRequire(import.meta.url);
const createSendMessages = require('kafkajs/src/producer/sendMessages') as (
  parts: unknown,
) => Library['sendBatch'];
const createRetry = require('kafkajs/src/retry') as (options: unknown) => unknown;

/** kafkajs's own sending, to brokers that are no more than who leads which partition and what it has. */
class Brokers {
  readonly written: string[] = [];
  /** By partition. */
  readonly leaders: number[];
  /** What the client believes until it asks again, by partition. */
  #believed: number[];
  readonly #brokers = [0, 1].map((nodeId) => ({
    nodeId,
    produce: ({ topicData }: { topicData: TopicData[] }) => this.#produce(nodeId, topicData),
  }));

  constructor(believed: number[], leaders: number[]) {
    this.#believed = believed;
    this.leaders = leaders;
  }

  library(batches: WholeBatches): Pick<Library, 'sendBatch'> {
    const nothing = (): void => undefined;
    const metadata = () =>
      this.#believed.map((leader, partitionId) => ({ partitionId, leader, partitionErrorCode: 0 }));
    const cluster = {
      addMultipleTargetTopics: nothing,
      refreshMetadataIfNecessary: nothing,
      refreshMetadata: () => {
        this.#believed = this.leaders;
      },
      isConnected: () => true,
      findTopicPartitionMetadata: metadata,
      findLeaderForPartitions: (_: string, partitions: string[]) => {
        const found: Partial<Record<string, number[]>> = {};
        for (const id of partitions.map(Number)) {
          const leader = this.#believed[id];
          if (leader !== undefined) (found[leader] ??= []).push(id);
        }
        return found;
      },
      findBroker: ({ nodeId }: { nodeId: string }) => this.#brokers[Number(nodeId)],
    };
    const eosManager = {
      ...{ acquireBrokerLock: nothing, releaseBrokerLock: nothing, updateSequence: nothing },
      ...{ isTransactional: () => false, getSequence: () => 0 },
      ...{ getProducerId: () => 1, getProducerEpoch: () => 0 },
    };
    const retrier = createRetry({ retries: 3, initialRetryTime: 1, maxRetryTime: 1 });
    const logger = { error: nothing, debug: nothing };
    const partitioner = batches.createPartitioner();
    return { sendBatch: createSendMessages({ logger, cluster, partitioner, eosManager, retrier }) };
  }

  async #produce(nodeId: number, topicData: TopicData[]): Promise<unknown> {
    const asked = topicData.flatMap(({ partitions }) => partitions);
    if (asked.some(({ partition }) => this.leaders[partition] !== nodeId)) {
      // The other broker's answer is there by then.
      await new Promise(setImmediate);
      throw new NotLeader();
    }
    for (const { partition, messages } of asked)
      for (const { value } of messages) this.written.push(`${partition}:${String(value)}`);
    return {
      topics: topicData.map(({ topic, partitions }) => ({
        topicName: topic,
        partitions: partitions.map(({ partition }) => ({ partition, errorCode: 0 })),
      })),
    };
  }
}

const batch = (...messages: Message[]): { acks: number; topicMessages: TopicMessages[] } => ({
  acks: -1,
  topicMessages: [{ topic: 'shop', messages }],
});

test('a partition whose leader moves to a broker that has answered already is no success', async () => {
  const batches = new WholeBatches();
  const brokers = new Brokers([0, 1], [0, 0]);
  const sent = batch({ value: 'a', partition: 0 }, { value: 'b', partition: 1 });
  await expect(batches.send(brokers.library(batches), sent)).rejects.toMatchObject({
    code: 'KAFKA_UNREACHABLE',
    message: expect.stringContaining('partition 1 of topic shop') as unknown,
  });
  expect(brokers.written).toEqual(['0:a']);
});

test('a partition that the topic does not have is no success', async () => {
  const batches = new WholeBatches();
  const brokers = new Brokers([0, 1], [0, 1]);
  const sent = batch({ value: 'a', partition: 0 }, { value: 'b', partition: 7 });
  await expect(batches.send(brokers.library(batches), sent)).rejects.toThrow(
    'no broker has answered for partition 7 of topic shop',
  );
});

test('a record keeps its partition though the topic gets more of them while it is sent', async () => {
  const batches = new WholeBatches();
  const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
  const messages = (): Message[] => keys.map((key) => ({ key, value: key }));
  const steady = new Brokers([1, 1], [1, 1]);
  await batches.send(steady.library(batches), batch(...messages()));
  const moved = new Brokers([0, 0], [1, 1, 1, 1, 1]);
  await batches.send(moved.library(batches), batch(...messages()));
  expect(moved.written.sort()).toEqual(steady.written.sort());
});
