// Outbox tables that were named after the relay had begun: their rows do not come until they are
// published, and would be passed by without a word.
import type pg from 'pg';
import { BanyanError } from '../../core/errors.ts';
import { parseTableName, quoteIdentifier, quoteTable } from '../../core/postgres/identifiers.ts';
import { relayNames } from '../../control/domain/names.ts';
import { databaseOf } from '../schemas.ts';
import type { RelaySource } from './relay-sources.ts';

export interface Unpublished {
  readonly tables: readonly string[];
  /** What mends it. */
  readonly hint: string;
}

/** Undefined where there is nothing to mend, or no relay yet: its first flow publishes them. */
export async function unpublishedOutboxes(
  client: pg.Client,
  outboxes: readonly { readonly table: string }[],
): Promise<Unpublished | undefined> {
  if (outboxes.length === 0) return undefined;
  const { publication } = relayNames(await databaseOf(client));
  const { rows } = await client.query<{ label: string | null }>(
    `SELECT t.schemaname || '.' || t.tablename AS label
       FROM pg_publication p LEFT JOIN pg_publication_tables t USING (pubname) WHERE p.pubname = $1`,
    [publication],
  );
  if (rows.length === 0) return undefined;
  const published = new Set(rows.map(({ label }) => label));
  const tables = outboxes.map(({ table }) => table).filter((table) => !published.has(table));
  if (tables.length === 0) return undefined;
  const names = tables.map((table) => quoteTable(parseTableName(table))).join(', ');
  return {
    tables,
    hint: `Run, as a role that owns both: ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${names}. Events are the rows that are inserted from then on; the relay goes on by itself.`,
  };
}

/** Throws FLOW_STOPPED. */
export async function assertOutboxes(
  client: pg.Client,
  { name, outboxes }: Pick<RelaySource, 'name' | 'outboxes'>,
): Promise<void> {
  const missing = await unpublishedOutboxes(client, outboxes);
  if (!missing) return;
  throw new BanyanError(
    'FLOW_STOPPED',
    `the relay of ${name} does not get outbox table ${missing.tables.join(', ')}: it was named after the relay had begun`,
    { hint: missing.hint },
  );
}
