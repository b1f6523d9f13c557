// As without it, nothing of a demo over Kafka stays: no broker either.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { quickJavaVariables } from './support/kafka.ts';
import { strayFolder, type StrayFolder } from './support/stray.ts';
import { cases } from './support/long.ts';

let folder: StrayFolder;

beforeEach(() => {
  folder = strayFolder();
});

afterEach(() => {
  folder.remove();
});

test.each(cases(['starting Kafka', 'Load is running'], 'Load is running'))(
  'Ctrl-C at "%s" ends the broker too',
  async (moment) => {
    const demo = await folder.start(
      ['--log-level', 'error', 'demo', '--kafka', '--products', '500'],
      moment,
      await quickJavaVariables(),
    );
    demo.child.kill('SIGINT');
    expect([0, 130]).toContain(await demo.exited);
    await folder.nothingLeft();
  },
);
