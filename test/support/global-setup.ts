// One embedded PostgreSQL for the whole test run; the suites make databases of their own on it, their
// control databases as copies of one that is up to date.
import { migrateControl } from '../../control/store.ts';
import { startEmbedded, type EmbeddedPostgres } from '../../core/postgres/embedded.ts';
import { CONTROL_TEMPLATE } from './postgres.ts';

declare global {
  var banyanTestServer: EmbeddedPostgres | undefined;
}

const WITHOUT_KAFKA = `
**********************************************************************************
*  The suites that need Apache Kafka (*.kafka.test.ts) are SKIPPED: there is no   *
*  java, or no mvn, on this machine. Debian: apt-get install default-jre-headless *
*  maven. With KAFKA=required this run would fail instead.                        *
**********************************************************************************
`;

export function sayWhatIsSkipped(): void {
  if (process.env['BANYAN_TEST_WITHOUT_KAFKA'] === 'yes') process.stderr.write(WITHOUT_KAFKA);
}

export default async function globalSetup(): Promise<void> {
  sayWhatIsSkipped();
  const server = await startEmbedded({ fsync: false });
  globalThis.banyanTestServer = server;
  process.env['BANYAN_TEST_POSTGRES'] = server.url();
  await migrateControl(await server.createDatabase(CONTROL_TEMPLATE));
}
