// Whenever the demo is interrupted, nothing of it stays: no child process, no PostgreSQL, no folder.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { cases } from './support/long.ts';
import { strayFolder, type StrayFolder } from './support/stray.ts';

const DEMO = ['--log-level', 'error', 'demo', '--products', '500'];

let folder: StrayFolder;

beforeEach(() => {
  folder = strayFolder();
});

afterEach(() => {
  folder.remove();
});

const MOMENTS = [
  'starting PostgreSQL',
  'seeding the shop',
  'starting monolith',
  'starting facade',
  'Load is running',
];

// As soon as there is something to end, and when there is all of it.
test.each(cases(MOMENTS, 'starting PostgreSQL', 'Load is running'))(
  'Ctrl-C at "%s" ends every process and removes the database',
  async (moment) => {
    const demo = await folder.start(DEMO, moment);
    demo.child.kill('SIGINT');
    expect([0, 130]).toContain(await demo.exited);
    await folder.nothingLeft();
  },
);

test('not even kill -9 of the demo leaves a process behind', async () => {
  const demo = await folder.start(DEMO, 'Load is running');
  demo.child.kill('SIGKILL');
  await demo.exited;
  await folder.nothingLeft();
});
