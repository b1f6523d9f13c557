// Markers of transactions in the queue: they take offsets, and are no records.
import { expect, test } from '@jest/globals';
import { handFed, type HandFed } from '../../test/support/hand-fed.ts';
import { RecordQueue } from './consume-queue.ts';

const NAME = 't/0';

async function opened({ kafka }: HandFed, dense: boolean): Promise<RecordQueue> {
  const queue = new RecordQueue({
    ...{ kafka, groupId: 'g', from: new Map([[NAME, 0n]]), dense, queueBytes: 1_000_000 },
  });
  await queue.open();
  return queue;
}

test('nothing is left before the first record that waits; before what is next where none does, markers or not', async () => {
  const fed = handFed();
  const queue = await opened(fed, false);
  await fed.feed([0n, 1n], 3n);
  expect(queue.behind(NAME)).toBe(0n);
  queue.take(NAME, 1);
  expect(queue.behind(NAME)).toBe(1n);
  queue.take(NAME, 1);
  expect(queue.behind(NAME)).toBe(3n);
  const waiting = queue.wait(AbortSignal.timeout(30_000), undefined, () => queue.behind(NAME) > 3n);
  fed.pass(5n);
  expect(await waiting).toBe(true);
  expect(queue.behind(NAME)).toBe(5n);
});

test('where each offset must be there, nothing is passed by as a marker', async () => {
  const fed = handFed();
  const queue = await opened(fed, true);
  fed.pass(2n);
  expect(queue.behind(NAME)).toBe(0n);
  await expect(fed.feed([2n], 3n)).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
});
