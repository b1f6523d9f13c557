// A flow that goes on behind what a dead server has left in its topic.
import { expect, test } from '@jest/globals';
import type {
  Admin,
  Consumer,
  ConsumerOptions,
  Fetched,
  KafkaClient,
} from '../../core/kafka/client.ts';
import { BanyanError } from '../../core/errors.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import type { Piece } from '../domain/change.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import { openKafkaLog } from './consume.ts';

const TOPIC = 'p.changes';

/** Records of one transaction each, as a relay on that timeline writes them. */
function written(timeline: number, after: bigint, ...commits: bigint[]): Omit<Fetched, 'offset'>[] {
  const encoder = createEncoder({
    ...{ prefix: 'p', database: 'd', timeline, layout: 'changes', tables: () => undefined },
    footing: {
      ...{ life: `7/${timeline}/0/1`, after },
      last: { position: { timeline, commitLsn: after, seq: 0 }, endLsn: after },
    },
  });
  return commits
    .map((commitLsn): Piece => ({
      head: { xid: 1, commitLsn, commitMs: 1, origin: undefined },
      changes: [{ kind: 'message', prefix: 'x', content: 'y' }],
      ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: commitLsn + 1n },
    }))
    .flatMap((piece) => encoder.encode(piece, 1))
    .map((record) => ({ ...record, partition: 0, timestampMs: 0 }));
}

/** `ended` is how the consumer ends, and `low` where the topic begins by then. */
function brokers(
  records: readonly Fetched[],
  { ended = new Promise<never>(() => undefined), low = 0n } = {},
): KafkaClient {
  let looks = 0;
  const high = BigInt(records.length);
  const admin = {
    topics: (names: string[]) => Promise.resolve(new Map(names.map((topic) => [topic, { topic }]))),
    ranges: () => Promise.resolve([{ partition: 0, low: looks++ === 0 ? 0n : low, high }]),
    close: () => Promise.resolve(),
  } as unknown as Admin;
  const consumer = async (options: ConsumerOptions): Promise<Consumer> => {
    const at = { topic: TOPIC, partition: 0 };
    const assignment = { partitions: [at], signal: new AbortController().signal };
    const [start] = await options.assigned(assignment);
    const rest = records.slice(Number(start?.offset ?? 0n));
    await options.deliver({ ...at, records: rest, nextOffset: high, endOffset: high }, assignment);
    return {
      ...{ ended, pause: () => undefined, resume: () => undefined },
      ...{ commit: () => Promise.resolve(), close: () => Promise.resolve() },
    };
  };
  return {
    admin: () => Promise.resolve(admin),
    consumer,
    producer: () => Promise.reject(new Error('none')),
  };
}

test('what it has read itself it has taken, whatever its numbers are', async () => {
  const dead = written(1, 100n, 110n, 190n);
  const records = [...dead, ...written(2, 100n, 130n)].map((record, index): Fetched => ({
    ...record,
    offset: BigInt(index),
  }));
  const position: Position = { timeline: 2, commitLsn: 120n, seq: 0 };
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const log = await openKafkaLog(
    {
      ...{ kafka: brokers(records), groupId: 'g', topic: TOPIC, life: '7/2/0/1' },
      decode: (record) => decoder.decode(record),
      foreign: () => undefined,
      continues: () => Promise.resolve(),
    },
    {
      ...{ position, mode: 'guest', barrier: 0 },
      offsets: new Map([[`${TOPIC}/0`, { next: BigInt(dead.length), position, part: 0 }]]),
    },
  );
  const pieces = await log.read(AbortSignal.timeout(30_000));
  expect(pieces.map(({ head }) => head.commitLsn)).toEqual([130n]);
  await log.close();
});

test('a flow that retention overtakes looks again whether it lacks anything; other records that are gone end it', async () => {
  const lost = (): Promise<never> => Promise.reject(new BanyanError('KAFKA_LOG_LOST', 'gone'));
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const read = async (low: bigint): Promise<unknown> => {
    const position: Position = { timeline: 1, commitLsn: 120n, seq: 0 };
    const log = await openKafkaLog(
      {
        ...{ kafka: brokers([], { ended: lost(), low }), groupId: 'g', topic: TOPIC, life: '7' },
        decode: (record) => decoder.decode(record),
        foreign: () => undefined,
        continues: () => Promise.resolve(),
      },
      { position, mode: 'guest', barrier: 0 },
    );
    try {
      return await log.read(AbortSignal.timeout(30_000)).catch((error: unknown) => error);
    } finally {
      await log.close();
    }
  };
  expect(await read(10n)).toMatchObject({ code: 'KAFKA_UNREACHABLE' });
  expect(await read(0n)).toMatchObject({ code: 'KAFKA_LOG_LOST' });
});
