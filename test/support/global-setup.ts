// One embedded PostgreSQL for the whole test run; the suites make databases of their own on it.
import { startEmbedded, type EmbeddedPostgres } from '../../core/postgres/embedded.ts';

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
}
