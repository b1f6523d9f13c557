// `npm run kafka`: a broker of one's own, until interrupted, whose data is there again the next time.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kafkaClient } from '../core/kafka/connect.ts';
import { ensureTopics } from '../core/kafka/topics.ts';
import { startBanyan, type Running } from './support/command.ts';
import { plainConnection, quickJavaVariables } from './support/kafka.ts';
import { readTopic, silent } from './support/kafka-records.ts';

let folder: string;
let running: Running | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'banyan-kafka-'));
});

afterEach(async () => {
  running?.child.kill('SIGKILL');
  await running?.exited;
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

async function start(): Promise<string> {
  running = startBanyan(
    ['--json', 'kafka', '--port', '0', '--directory', folder],
    await quickJavaVariables(),
  );
  await running.says('"ready":true', 90_000);
  return (JSON.parse(running.stdout()) as { address: string }).address;
}

async function stop(): Promise<void> {
  running?.child.kill('SIGINT');
  expect(await running?.exited).toBe(0);
}

test('keeps its data between runs, and ends when it is interrupted', async () => {
  const topic = 'kept';
  const record = { topic, key: null, value: 'hello', headers: {} };
  const first = kafkaClient(plainConnection(await start()), silent);
  const admin = await first.admin();
  await ensureTopics(admin, [{ topic, partitions: 1, config: {} }]);
  await admin.close();
  const producer = await first.producer();
  await producer.send([record]);
  await producer.close();
  await stop();
  await expect(first.admin()).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
  const again = kafkaClient(plainConnection(await start()), silent);
  expect((await readTopic(again, topic)).map(({ value }) => value)).toEqual(['hello']);
  await stop();
}, 150_000);
