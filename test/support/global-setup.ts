// One embedded PostgreSQL for the whole test run; the suites make databases of their own on it.
import { startEmbedded, type EmbeddedPostgres } from '../../core/postgres/embedded.ts';

declare global {
  var banyanTestServer: EmbeddedPostgres | undefined;
}

export default async function globalSetup(): Promise<void> {
  const server = await startEmbedded({ fsync: false });
  globalThis.banyanTestServer = server;
  process.env['BANYAN_TEST_POSTGRES'] = server.url();
}
