import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import kafkajs, { type Producer as Library } from 'kafkajs';
import { recordsOf } from '../../test/support/producing.ts';
import type { KafkaRecord } from './client.ts';
import { createPartitioner } from './partitioner.ts';
import { PackedRecords, RecordPack } from './record-pack.ts';
import { sendWhole } from './whole-batch.ts';

interface TopicData {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly messages: PackedRecords }[];
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

  library(): Pick<Library, 'sendBatch'> {
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
    const partitioner = createPartitioner();
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
      for (const { value } of recordsOf(messages))
        this.written.push(`${partition}:${String(value)}`);
    return {
      topics: topicData.map(({ topic, partitions }) => ({
        topicName: topic,
        partitions: partitions.map(({ partition }) => ({ partition, errorCode: 0 })),
      })),
    };
  }
}

const batch = (
  ...records: Omit<KafkaRecord, 'topic' | 'headers'>[]
): ReadonlyMap<string, PackedRecords> => {
  const all = new PackedRecords();
  const pack = new RecordPack();
  for (const record of records) {
    pack.append({ topic: 'shop', headers: {}, ...record });
    all.add(pack, pack.count - 1);
  }
  return new Map([['shop', all]]);
};
const { None } = kafkajs.CompressionTypes;

test('a partition whose leader moves to a broker that has answered already is no success', async () => {
  const brokers = new Brokers([0, 1], [0, 0]);
  const sent = batch(
    { key: null, value: 'a', partition: 0 },
    { key: null, value: 'b', partition: 1 },
  );
  await expect(sendWhole(brokers.library(), sent, None)).rejects.toMatchObject({
    code: 'KAFKA_UNREACHABLE',
    message: expect.stringContaining('partition 1 of topic shop') as unknown,
  });
  expect(brokers.written).toEqual(['0:a']);
});

test('a partition that the topic does not have is no success', async () => {
  const brokers = new Brokers([0, 1], [0, 1]);
  const sent = batch(
    { key: null, value: 'a', partition: 0 },
    { key: null, value: 'b', partition: 7 },
  );
  await expect(sendWhole(brokers.library(), sent, None)).rejects.toThrow(
    'no broker has answered for partition 7 of topic shop',
  );
});

test('a record keeps its partition though the topic gets more of them while it is sent', async () => {
  const records = Array.from({ length: 20 }, (_, index) => ({
    key: `key-${index}`,
    value: `key-${index}`,
  }));
  const steady = new Brokers([1, 1], [1, 1]);
  await sendWhole(steady.library(), batch(...records), None);
  const moved = new Brokers([0, 0], [1, 1, 1, 1, 1]);
  await sendWhole(moved.library(), batch(...records), None);
  expect(moved.written.sort()).toEqual(steady.written.sort());
  expect(steady.written).toHaveLength(20);
});

test('a repetition that is still to be written when all is over is not: its pack may have other records', async () => {
  const late: PackedRecords[] = [];
  const sent = batch({ key: 'a', value: 'a' });
  const library = new Brokers([0], [0]).library();
  await sendWhole(
    {
      sendBatch: async (given) => {
        const [{ messages } = { messages: [] }] = given.topicMessages ?? [];
        const groups = messages.reduce<Record<string, PackedRecords>>(
          (all) => ({ ...all, 1: new PackedRecords() }),
          {},
        );
        late.push(...Object.values(groups));
        return library.sendBatch(given);
      },
    },
    sent,
    None,
  );
  expect(late).toHaveLength(1);
  expect(() => late[0]?.write(Buffer.alloc(100), 0)).toThrow('have been sent');
});
