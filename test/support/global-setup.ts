// For each worker of a run an embedded PostgreSQL, so that no suite waits for the transactions of another
// or reads its WAL; the suites make databases of their own on it. All are copies of one that knows the
// schema of a control database; so are servers that a test starts for itself (servers.ts).
import { mkdtemp, statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import path from 'node:path';
import { migrateControl } from '../../control/store.ts';
import { startChild } from '../../core/child.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { startEmbedded, type EmbeddedPostgres } from '../../core/postgres/embedded.ts';
import { quoteIdentifier, quoteLiteral } from '../../core/postgres/identifiers.ts';
import { keepClasses, testKafka, type TestKafka } from './kafka.ts';
import { CONTROL_TEMPLATE } from './postgres.ts';
import { share } from './share.ts';

declare global {
  var banyanTestRun: (() => Promise<void>) | undefined;
}

const WITHOUT_KAFKA = `
**********************************************************************************
*  The suites that need Apache Kafka (*.kafka.test.ts) are SKIPPED: there is no   *
*  java, or no mvn, on this machine. Debian: apt-get install default-jre-headless *
*  maven. With KAFKA=required this run would fail instead.                        *
**********************************************************************************
`;

/** Roles are made by the hundred, with passwords that are no secret; a full disk of memory helps nobody. */
const SETTINGS = ['scram_iterations=1', 'max_wal_size=512MB'];
/** Databases are made by the thousand: in memory that is a quarter of the work, where there is enough of it. */
const MEMORY = '/dev/shm';
const ENOUGH_BYTES = 10 * 2 ** 30;

export function sayWhatIsSkipped(): void {
  if (process.env['BANYAN_TEST_WITHOUT_KAFKA'] === 'yes') process.stderr.write(WITHOUT_KAFKA);
}

/** The superuser's password as a role's that is made under these settings: each login computes it anew. */
async function forgetIterations(url: string): Promise<void> {
  const { username, password } = new URL(url);
  await withClient(url, { applicationName: 'banyan-test' }, (client) =>
    client.query(`ALTER ROLE ${quoteIdentifier(username)} PASSWORD ${quoteLiteral(password)}`),
  );
}

async function startServer(like: string): Promise<EmbeddedPostgres> {
  const start = (within?: string): Promise<EmbeddedPostgres> =>
    startEmbedded({ like, within, fsync: false, settings: SETTINGS });
  const found = await statfs(MEMORY).catch(() => undefined);
  const free = Math.min(freemem(), found ? found.bavail * found.bsize : 0);
  // Programs may be forbidden there.
  return free < ENOUGH_BYTES ? start() : start(MEMORY).catch(() => start());
}

export default async function globalSetup({ maxWorkers }: { maxWorkers: number }): Promise<void> {
  sayWhatIsSkipped();
  const closers: (() => Promise<void>)[] = [];
  globalThis.banyanTestRun = async () => {
    await Promise.all(closers.map((close) => close()));
  };
  const like = await mkdtemp(path.join(tmpdir(), 'banyan-postgres-new-'));
  // Removes the folder, whatever becomes of us.
  const keeper = startChild({
    ...{ command: 'tail', args: ['-f', '/dev/null'] },
    ...{ endWith: 'TERM', removeAfter: like },
  });
  closers.push(() => keeper.stop());
  const first = await startEmbedded({ directory: like, fsync: false, settings: SETTINGS });
  await migrateControl(await first.createDatabase(CONTROL_TEMPLATE));
  await forgetIterations(first.url());
  await first.stop();
  process.env['BANYAN_TEST_LIKE'] = like;
  const servers = await Promise.all(Array.from({ length: maxWorkers }, () => startServer(like)));
  closers.push(...servers.map((server) => () => server.stop()));
  for (const [index, server] of servers.entries())
    process.env[`BANYAN_TEST_POSTGRES_${index + 1}`] = server.url();

  let kafka: TestKafka | undefined;
  const shared = await share({
    kafka: async () => {
      kafka = await testKafka();
      return kafka.connection.brokers.join();
    },
    'kafka-classes': keepClasses,
  });
  process.env['BANYAN_TEST_SHARED'] = shared.url;
  closers.push(async () => {
    await shared.close();
    await kafka?.remove();
  });
}
