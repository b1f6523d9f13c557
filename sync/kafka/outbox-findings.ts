// Looks whether the relays there are get the outbox tables that a definition names. Changes nothing.
import { withClient } from '../../core/postgres/connect.ts';
import type { Connections } from '../../control/connections.ts';
import type { Migration } from '../../control/definition.ts';
import type { Finding } from '../domain/finding.ts';
import { unpublishedOutboxes } from './outbox-published.ts';
import { relaySources } from './relay-sources.ts';

/** None where the change log is not Kafka. A database that cannot be reached is found by others. */
export async function checkOutboxes(
  migration: Migration,
  connections: Connections,
): Promise<Finding[]> {
  const found = await Promise.all(
    relaySources(migration, connections).map(async ({ name, url, outboxes }) => {
      const missing = await withClient(url, { applicationName: 'banyan-preflight' }, (client) =>
        unpublishedOutboxes(client, outboxes),
      ).catch(() => undefined);
      if (!missing) return [];
      const { tables, hint } = missing;
      const what = `outbox ${tables.join(', ')} is not sent: it was named after the relay had begun`;
      return [{ severity: 'error', where: name, what, hint } as const];
    }),
  );
  return found.flat();
}
