import { accessSync, constants } from 'node:fs';
import path from 'node:path';

// The suites that need a real Kafka start one with Java, from jars that Maven fetches. Where one is
// missing they are left out, and global-setup.ts says so; KAFKA=required has them fail instead.
const here = (command) =>
  (process.env.PATH ?? '').split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
const kafka = process.env.KAFKA === 'required' || (here('java') && here('mvn'));
process.env.BANYAN_TEST_WITHOUT_KAFKA = kafka ? '' : 'yes';

// What takes its time (processes that are killed, long silences, load) is left to `npm run test:long`, which CI runs
// too; whoever names files gets those that he names.
const LONG_ALONE = [
  'control/interrupted',
  'control/switch-kills',
  'control/switch-load',
  'control/switch-stopped',
  'sync/conflict-load',
  'sync/endurance',
  'sync/failover.pg',
  'sync/failure-modes',
  'sync/kafka/consume-kills',
  'sync/silence',
  'sync/verify-soak',
  'test/crash',
  'test/cut-off',
  'test/interrupt.kafka',
  'test/sync-care',
];
/** Those that `npm run test:schedules` runs, at length. */
const SCHEDULES = ['facade/shadow-noise', 'sync/server-kills'];
/** Some of whose cases take long (test/support/long.ts). */
const LONG_TOO = [
  'control/building',
  'control/write-canary',
  'sync/kafka/connector.kafka',
  'sync/kafka/relay-ddl',
  'sync/kafka/relay.kafka',
  'test/interrupt',
  'test/mistakes',
  'test/rollout',
  'test/write-canary',
];
const isLong = process.env.LONG !== undefined;
const isNamed = process.argv.slice(2).some((one) => !one.startsWith('-'));
const patternsOf = (files) => files.map((file) => `^<rootDir>/${file.replaceAll('.', '\\.')}\\.`);

// What tests load, and the commands that they start by the hundred, are compiled once.
process.env.NODE_COMPILE_CACHE ??= path.join(import.meta.dirname, 'node_modules/.cache/compile');

export default {
  testMatch:
    isLong && !isNamed
      ? [...LONG_ALONE, ...LONG_TOO].map((file) => `<rootDir>/${file}*.test.ts`)
      : ['**/*.test.ts'],
  testPathIgnorePatterns: [
    ...['/node_modules/', '/dist/'],
    ...(kafka ? [] : ['\\.kafka\\.test\\.ts$']),
    ...(isLong || isNamed ? [] : patternsOf([...LONG_ALONE, ...SCHEDULES])),
  ],
  // Node loads the files and strips their types, as it does with what ships.
  transform: {},
  injectGlobals: false,
  runtime: './test/support/runner/runtime.ts',
  testEnvironment: './test/support/runner/environment.ts',
  testSequencer: './test/support/runner/sequencer.ts',
  globalSetup: './test/support/global-setup.ts',
  globalTeardown: './test/support/global-teardown.ts',
  // No measure of anything: what takes this long on a busy machine hangs.
  testTimeout: 120_000,
  // Much of what they do is waiting: two of them leave a third of two cores idle.
  maxWorkers: 3,
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  haste: { enableSymlinks: false },
};
