// Looks at a team's Debezium connector from the outside: its slot, its publication, its topics, and the
// columns that it carries. Changes nothing.
import type { Client } from 'pg';
import { isBanyanError } from '../../core/errors.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import type { KafkaConnection } from '../../core/kafka/connection.ts';
import type { TopicFacts } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import type { DebeziumSettings } from '../../control/debezium-settings.ts';
import { connectorTopic } from '../../control/kafka-topics.ts';
import { checkConnectorFacts, type ConnectorFacts } from '../domain/connector-findings.ts';
import type { Finding } from '../domain/finding.ts';
import { checkRecordKeys, ONE_PARTITION } from '../domain/record-key.ts';
import { mappedColumns, type MappedColumns } from './mapped-columns.ts';

/** None where a relay or a slot brings the changes. `url` is a login that reads the monolith. */
export async function checkConnector(
  id: string,
  { source, tables: maps }: Capability,
  url: string,
  connection: KafkaConnection | undefined,
): Promise<Finding[]> {
  if (!source || !connection) return [];
  const { debezium: settings } = source;
  const tables = maps.flatMap((one) => one.monolith);
  const where = `connector of ${id}`;
  try {
    const topics = await topicsOf(
      [...new Set(tables.map((table) => connectorTopic(settings, table)))],
      connection,
    );
    const atSource = await withClient(url, { applicationName: 'banyan-preflight' }, (client) =>
      factsOf(client, settings, maps),
    );
    const partitions = new Map(topics.map(({ topic, facts }) => [topic, facts?.partitions ?? 1]));
    const scattered = atSource.tables
      .map((table) => ({ ...table, label: formatTable(table) }))
      .filter(({ label }) => (partitions.get(connectorTopic(settings, label)) ?? 1) > 1);
    return [
      ...checkConnectorFacts(where, { ...atSource, topics }),
      ...checkRecordKeys(where, scattered, ONE_PARTITION.connector),
    ];
  } catch (error) {
    if (!isBanyanError(error)) throw error;
    const { message, hint = '' } = error;
    return [{ severity: 'error', where, what: message, hint }];
  }
}

async function topicsOf(
  topics: readonly string[],
  connection: KafkaConnection,
): Promise<{ topic: string; facts: TopicFacts | undefined }[]> {
  const client = kafkaClient(connection, createLogger({ part: 'preflight' }, 'silent'));
  const admin = await client.admin();
  try {
    const there = await admin.topics(topics);
    return topics.map((topic) => ({ topic, facts: there.get(topic) }));
  } finally {
    await admin.close();
  }
}

async function factsOf(
  client: Client,
  { slot, publication, modes }: DebeziumSettings,
  maps: Capability['tables'],
): Promise<
  Omit<ConnectorFacts, 'topics' | 'tables'> & { readonly tables: readonly MappedColumns[] }
> {
  const names = maps.flatMap((one) => one.monolith).map(parseTableName);
  const { rows } = await client.query<{
    version: number;
    plugin: string | null;
    active: boolean | null;
    published: string[];
  }>(
    `SELECT current_setting('server_version_num')::int AS version,
            (SELECT plugin::text FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()) AS plugin,
            (SELECT active FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()) AS active,
            ARRAY(SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $2) AS published`,
    [slot, publication],
  );
  const { version = 0, plugin = null, active = null, published = [] } = rows[0] ?? {};
  return {
    ...{ slot, publication, serverVersion: version, plugin: plugin ?? undefined },
    active: active === true,
    unpublished: names.map(formatTable).filter((label) => !published.includes(label)),
    tables: await mappedColumns(client, maps, 'monolith'),
    modes: { ...modes, exact: false },
  };
}
