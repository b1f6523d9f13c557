import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { Attempts } from './attempts.ts';

const LOST = new BanyanError('SLOT_LOST', 'the slot is gone');

let stop: AbortController;
let attempts: Attempts;

beforeEach(() => {
  stop = new AbortController();
  attempts = new Attempts(stop.signal);
});

afterEach(() => {
  stop.abort();
});

async function ends(pause: Promise<void>, timeoutMs = 30_000): Promise<void> {
  let over = false;
  void pause.then(() => {
    over = true;
  });
  await waitFor(() => over, { timeoutMs, what: 'the pause to end' });
}

test('a pause that nothing but a decision ends is ended by one', async () => {
  const pause = attempts.afterFailure(LOST);
  attempts.nudge();
  await ends(pause);
});

test('a decision that comes while nobody waits ends the next pause, and that one only', async () => {
  attempts.nudge();
  await ends(attempts.afterFailure(LOST));
  const next = attempts.afterFailure(LOST);
  await expect(ends(next, 500)).rejects.toMatchObject({ code: 'TIMED_OUT' });
  stop.abort();
  await ends(next);
});

test('pauses get longer with each failure, until one went well', async () => {
  const pauses: number[] = [];
  attempts = new Attempts(stop.signal, (ms) => {
    pauses.push(ms);
    return Promise.resolve();
  });
  const failed = new Error('no');
  for (let nth = 0; nth < 6; nth++) await attempts.afterFailure(failed);
  expect(pauses).toEqual([250, 500, 1_000, 2_000, 5_000, 5_000]);
  attempts.forgive();
  await attempts.afterFailure(failed);
  expect(pauses.at(-1)).toBe(250);
});
