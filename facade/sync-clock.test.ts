import { expect, test } from '@jest/globals';
import type { FlowLine } from '../control/flow-reports.ts';
import { createSyncClock, type SyncClock } from './sync-clock.ts';

interface Fake {
  clock: SyncClock;
  now: number;
  watermark: number | null;
  looks: number;
  fails: boolean;
  readonly stop: AbortController;
}

function fake(timeoutMs = 60_000): Fake {
  const stop = new AbortController();
  const self: Fake = {
    now: 1_000,
    watermark: null,
    looks: 0,
    fails: false,
    stop,
    clock: createSyncClock({
      pollMs: 1,
      timeoutMs: () => timeoutMs,
      signal: stop.signal,
      evidence: {
        now: () =>
          self.fails ? Promise.reject(new Error('gone')) : Promise.resolve(new Date(self.now)),
        flows: () => {
          self.looks += 1;
          const watermark = self.watermark === null ? null : new Date(self.watermark).toISOString();
          return Promise.resolve([
            { direction: 'back', watermark: new Date(9_999_999).toISOString() },
            { direction: 'to', watermark },
          ] as FlowLine[]);
        },
      },
    }),
  };
  return self;
}

test('waits until the watermark of the flow to the service has passed the moment of asking', async () => {
  const it = fake();
  let done = false;
  const waiting = it.clock.caughtUp('catalog').then((caughtUp) => {
    done = true;
    return caughtUp;
  });
  while (it.looks < 3) await new Promise((resolve) => setImmediate(resolve));
  it.watermark = 1_000;
  const seen = it.looks;
  while (it.looks < seen + 3) await new Promise((resolve) => setImmediate(resolve));
  expect(done).toBe(false);
  it.watermark = 1_001;
  expect(await waiting).toBe(true);
});

test('one poll serves all who wait, each by its own moment', async () => {
  const it = fake();
  const first = it.clock.caughtUp('catalog');
  while (it.looks < 2) await new Promise((resolve) => setImmediate(resolve));
  it.now = 2_000;
  let second = false;
  const later = it.clock.caughtUp('catalog').then(() => {
    second = true;
  });
  it.watermark = 1_500;
  expect(await first).toBe(true);
  expect(second).toBe(false);
  it.watermark = 2_500;
  await later;
});

test('gives up in time: without a watermark, without a database, at the end', async () => {
  expect(await fake(20).clock.caughtUp('catalog')).toBe(false);
  const broken = fake(20);
  broken.fails = true;
  expect(await broken.clock.caughtUp('catalog')).toBe(false);
  const ending = fake();
  const waiting = ending.clock.caughtUp('catalog');
  ending.stop.abort();
  expect(await waiting).toBe(false);
});
