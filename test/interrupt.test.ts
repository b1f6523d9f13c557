// Whenever the demo is interrupted, nothing of it stays: no child process, no PostgreSQL, no folder.
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { processesWith, startBanyan, type Running } from './support/command.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'banyan-interrupt-'));
  // Like /tmp itself: as root, PostgreSQL runs as somebody else, who makes and removes his folder there.
  chmodSync(folder, 0o1777);
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The demo, with a temporary folder of its own, whose name also marks its processes. */
async function demoAt(moment: string): Promise<Running> {
  const demo = startBanyan(['--log-level', 'error', 'demo', '--products', '500'], {
    TMPDIR: folder,
  });
  await demo.says(moment);
  expect(processesWith(folder).length).toBeGreaterThan(0);
  return demo;
}

async function nothingLeft(): Promise<void> {
  await waitFor(() => processesWith(folder).length === 0, {
    timeoutMs: 25_000,
    what: 'every process to end',
  }).catch(() => undefined);
  expect(processesWith(folder)).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
}

test.each([
  'starting PostgreSQL',
  'seeding the shop',
  'starting monolith',
  'starting facade',
  'Load is running',
])(
  'Ctrl-C at "%s" ends every process and removes the database',
  async (moment) => {
    const demo = await demoAt(moment);
    demo.child.kill('SIGINT');
    expect([0, 130]).toContain(await demo.exited);
    await nothingLeft();
  },
  60_000,
);

test('not even kill -9 of the demo leaves a process behind', async () => {
  const demo = await demoAt('Load is running');
  demo.child.kill('SIGKILL');
  await demo.exited;
  await nothingLeft();
}, 60_000);
