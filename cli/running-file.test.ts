import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readRunning, writeRunning } from './context.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'banyan-running-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const file = (): string => path.join(folder, '.banyan/running.json');
const left = (running: object): void => {
  mkdirSync(path.dirname(file()), { recursive: true });
  writeFileSync(file(), JSON.stringify(running));
};

test('what another process has left counts while that one runs', async () => {
  writeRunning(folder, { control: 'postgresql://c' });
  const { began } = JSON.parse(readFileSync(file(), 'utf8')) as { began?: string };
  expect(began === undefined).toBe(process.platform !== 'linux');
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const { pid } = other;
  try {
    left({ pid, control: 'postgresql://c' });
    expect(readRunning(folder)).toMatchObject({ pid, control: 'postgresql://c' });
  } finally {
    other.kill('SIGKILL');
    await new Promise((resolve) => other.once('close', resolve));
  }
  expect(readRunning(folder)).toEqual({});
});

test('one that had our number before us is none', () => {
  writeRunning(folder, { control: 'postgresql://c' });
  expect(readRunning(folder)).toEqual({});
});

(process.platform === 'linux' ? test : test.skip)(
  'nor is one whose number another process has by now',
  () => {
    left({ pid: process.ppid, began: '1', control: 'postgresql://c' });
    expect(readRunning(folder)).toEqual({});
    left({ pid: process.ppid, control: 'postgresql://c' });
    expect(readRunning(folder)).toMatchObject({ pid: process.ppid });
  },
);
