import { expect, test } from '@jest/globals';
import { waitFor } from './lifecycle.ts';
import { startChild } from './child.ts';

const sh = (script: string, endWith: 'INT' | 'TERM' = 'TERM') =>
  startChild({ command: '/bin/sh', args: ['-c', script], endWith });

test('gives lines, exit code and last words', async () => {
  const lines: string[] = [];
  const child = sh('echo one; echo two; echo alas >&2; exit 7');
  child.onLine((line) => lines.push(line));
  expect(await child.exited).toBe(7);
  await waitFor(() => lines.length === 2 && child.lastWords() !== '', {
    timeoutMs: 30_000,
    what: 'its output',
  });
  expect(lines).toEqual(['one', 'two']);
  expect(child.lastWords()).toBe('alas');
});

test('a character that comes in two parts is one', async () => {
  const lines: string[] = [];
  const child = sh(
    String.raw`for to in 1 2; do printf '\303' >&$to; sleep 0.2; printf '\266\n' >&$to; done`,
  );
  child.onLine((line) => lines.push(line));
  await child.exited;
  await waitFor(() => lines.length === 1 && child.lastWords() !== '', {
    timeoutMs: 30_000,
    what: 'its output',
  });
  expect(lines).toEqual(['ö']);
  expect(child.lastWords()).toBe('ö');
});

test('stop ends it with its signal and waits until it is gone', async () => {
  const child = sh('trap "echo drained; exit 3" TERM; echo up; while :; do sleep 0.05; done');
  const lines: string[] = [];
  child.onLine((line) => lines.push(line));
  await waitFor(() => lines.includes('up'), { timeoutMs: 30_000, what: 'it to start' });
  await child.stop();
  expect(child.exitCode).toBe(3);
});

test('one that ignores its signal is killed after the grace', async () => {
  const child = sh('trap "" TERM; echo up; while :; do sleep 0.05; done');
  await new Promise<void>((resolve) => {
    child.onLine(() => {
      resolve();
    });
  });
  await child.stop(200);
  expect(child.exitCode).toBe(137);
});

test('a command that is not there ends with 127', async () => {
  const child = startChild({ command: '/nowhere/at/all', args: [], endWith: 'TERM' });
  expect(await child.exited).toBe(127);
});
