import { getEventListeners } from 'node:events';
import { expect, test } from '@jest/globals';
import { aborted, supervise, untilAborted, waitFor, type Part } from './lifecycle.ts';

function part(name: string, told: string[], onStop?: () => void): Part {
  return {
    name,
    run: async (signal, ready) => {
      told.push(`${name} starts`);
      ready();
      await aborted(signal);
      told.push(`${name} stops`);
      onStop?.();
    },
  };
}

test('parts start in order, each after the one before is ready, and stop in reverse', async () => {
  const told: string[] = [];
  const stop = new AbortController();
  const running = supervise([part('a', told), part('b', told), part('c', told)], stop.signal);
  await waitFor(() => told.length === 3, { timeoutMs: 30_000, what: 'all to start' });
  stop.abort();
  await running;
  expect(told).toEqual(['a starts', 'b starts', 'c starts', 'c stops', 'b stops', 'a stops']);
});

test('every part is stopped even when another one fails, and the failure surfaces', async () => {
  const told: string[] = [];
  const failing: Part = {
    name: 'failing',
    run: async (_signal, ready) => {
      ready();
      await Promise.resolve();
      throw new Error('broken');
    },
  };
  const bad = part('bad', told, () => {
    throw new Error('broken too');
  });
  const running = supervise([part('a', told), bad, failing], new AbortController().signal);
  await expect(running).rejects.toMatchObject({
    errors: [
      expect.objectContaining({ message: 'broken' }),
      expect.objectContaining({ message: 'broken too' }),
    ],
  });
  expect(told.slice(-2)).toEqual(['bad stops', 'a stops']);
});

test('a part that ends by itself ends the others; later ones never start', async () => {
  const told: string[] = [];
  const short: Part = { name: 'short', run: () => Promise.resolve() };
  await supervise([part('a', told), short, part('never', told)], new AbortController().signal);
  expect(told).toEqual(['a starts', 'a stops']);
});

test('a wait in vain says what it waited for', async () => {
  await expect(
    waitFor(() => false, { timeoutMs: 20, everyMs: 5, what: 'the moon', hint: 'Look up.' }),
  ).rejects.toMatchObject({
    code: 'TIMED_OUT',
    message: expect.stringContaining('the moon'),
    hint: 'Look up.',
  });
});

test('a wait ends with its signal', async () => {
  const stop = new AbortController();
  const waiting = waitFor(() => false, { timeoutMs: 60_000, what: 'nothing', signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});

test('a wait for an abort leaves nothing at the signal once it is forgotten', async () => {
  const stop = new AbortController();
  const { over, forget } = untilAborted(stop.signal);
  expect(getEventListeners(stop.signal, 'abort')).toHaveLength(1);
  forget();
  expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
  const again = untilAborted(stop.signal);
  stop.abort();
  await again.over;
  await untilAborted(stop.signal).over;
  expect(await Promise.race([over.then(() => 'resolved'), Promise.resolve('pending')])).toBe(
    'pending',
  );
});

test('who is told to end before a part is ready does not wait for that', async () => {
  const told: string[] = [];
  const stop = new AbortController();
  const waiting: Part = {
    name: 'waiting',
    run: async (signal) => {
      told.push('waiting starts');
      await aborted(signal);
      told.push('waiting stops');
    },
  };
  const running = supervise([part('a', told), waiting, part('c', told)], stop.signal);
  await waitFor(() => told.includes('waiting starts'), { timeoutMs: 30_000, what: 'it to start' });
  stop.abort();
  await running;
  expect(told).toEqual(['a starts', 'waiting starts', 'waiting stops', 'a stops']);
});
