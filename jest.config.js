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

// The commands that tests start by the hundred are compiled once.
process.env.NODE_COMPILE_CACHE ??= path.join(import.meta.dirname, 'node_modules/.cache/compile');

export default {
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', ...(kafka ? [] : ['\\.kafka\\.test\\.ts$'])],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': './test/support/strip-types.cjs' },
  testEnvironmentOptions: { customExportConditions: ['source', 'node'] },
  globalSetup: './test/support/global-setup.ts',
  setupFiles: ['./test/support/worker-setup.ts'],
  globalTeardown: './test/support/global-teardown.ts',
  testTimeout: 60_000,
  maxWorkers: 2,
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  haste: { enableSymlinks: false },
};
