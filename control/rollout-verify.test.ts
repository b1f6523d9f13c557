import { expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { VerifyBeside } from './rollout-verify.ts';

/** One that runs until it is told how it ends, or stopped. */
function verifies(): {
  beside: VerifyBeside;
  runs: () => number;
  end: (failure?: string) => Promise<void>;
} {
  let runs = 0;
  let over = Promise.withResolvers<unknown>();
  const beside = new VerifyBeside((_, signal) => {
    runs += 1;
    over = Promise.withResolvers<unknown>();
    signal.addEventListener('abort', () => {
      over.reject(new Error('interrupted'));
    });
    return over.promise;
  });
  return {
    beside,
    runs: () => runs,
    end: async (failure) => {
      if (failure === undefined) over.resolve(undefined);
      else over.reject(new Error(failure));
      await waitFor(() => !beside.isRunning, { timeoutMs: 30_000, what: 'it to end' });
    },
  };
}

test('one runs at a time, and after each there is a pause', async () => {
  const { beside, runs, end } = verifies();
  expect(beside.begin('catalog')).toBe(true);
  expect(beside.begin('catalog')).toBe(false);
  expect(beside.isRunning).toBe(true);
  await end();
  expect(beside.begin('catalog')).toBe(false);
  expect(runs()).toBe(1);
});

test('what it failed with is told once', async () => {
  const { beside, end } = verifies();
  beside.begin('catalog');
  await end('a table is missing');
  expect(beside.takeFailure()).toBe('a table is missing');
  expect(beside.takeFailure()).toBeUndefined();
});

test('stopped with its step it is no failure, and the next step may begin another at once', async () => {
  const { beside, runs } = verifies();
  beside.begin('catalog');
  await beside.end();
  expect(beside.isRunning).toBe(false);
  expect(beside.takeFailure()).toBeUndefined();
  expect(beside.begin('catalog')).toBe(true);
  expect(runs()).toBe(2);
  await beside.end();
});
