// The topics of a source database, as a relay fills them: `<prefix>.<source>.changes`, or Debezium's. A
// source is the monolith, or the service whose database it is.
import type { NewTopic } from '../core/kafka/client.ts';
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import type { DebeziumSettings } from './debezium-settings.ts';
import type { Capability, Migration } from './definition.ts';
import { mappedTables } from './grants.ts';
import type { KafkaSettings } from './kafka-settings.ts';

/** Debezium's `topic.prefix` of a source. */
export function topicPrefix(settings: Pick<KafkaSettings, 'prefix'>, source: string): string {
  return `${settings.prefix}.${source}`;
}

/** Characters that a topic's name may not have become `_`, as Debezium does it. */
export function tableTopic(prefix: string, table: string): string {
  const { schema, table: name } = parseTableName(table);
  return `${prefix}.${schema}.${name}`.replaceAll(/[^A-Za-z0-9._-]/g, '_');
}

/** Topic of a table that a Debezium connector of the team's writes. */
export function connectorTopic({ prefix, topics }: DebeziumSettings, table: string): string {
  const label = (name: string): string => formatTable(parseTableName(name));
  const named = Object.entries(topics).find(([name]) => label(name) === label(table));
  return named?.[1] ?? tableTopic(prefix, table);
}

/** Whether a relay of ours brings what the monolith changes. */
export function isRelayedTo({ source, tables }: Capability): boolean {
  return tables.length > 0 && source === undefined;
}

/** Every database of the definition that a relay brings changes from. */
export function sourcesOf(migration: Pick<Migration, 'capabilities'>): string[] {
  const capabilities = Object.values(migration.capabilities).filter(
    ({ tables }) => tables.length > 0,
  );
  if (capabilities.length === 0) return [];
  return [
    ...(capabilities.some(isRelayedTo) ? ['monolith'] : []),
    ...new Set(capabilities.map(({ service }) => service)),
  ];
}

/** A topic with the settings that ours have. */
export function newTopic(settings: KafkaSettings, topic: string, partitions: number): NewTopic {
  const { replication, retentionMs, maxMessageBytes } = settings.topics;
  return {
    topic,
    partitions,
    replication,
    config: {
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionMs),
      'retention.bytes': '-1',
      'max.message.bytes': String(maxMessageBytes),
      'unclean.leader.election.enable': 'false',
      // One of three brokers may be away, and what was acknowledged is on two.
      ...(replication !== undefined && {
        'min.insync.replicas': String(Math.max(1, replication - 1)),
      }),
    },
  };
}

/** With their settings, for whoever creates them or holds them against what is there. */
export function topicsOf(
  migration: Migration,
  settings: KafkaSettings,
  source: string,
): readonly NewTopic[] {
  const { partitions } = settings.topics;
  const prefix = topicPrefix(settings, source);
  const topic = (name: string, count: number): NewTopic => newTopic(settings, name, count);
  if (settings.layout === 'changes') return [topic(`${prefix}.changes`, 1)];
  const tables = new Set(
    source === 'monolith'
      ? mappedTables({ ...migration, capabilities: relayedTo(migration) }, 'monolith')
      : mappedTables(migration, 'service', source),
  );
  return [
    ...[...tables].map((table) => topic(tableTopic(prefix, table), partitions)),
    topic(`${prefix}.transaction`, 1),
    topic(`${prefix}.message`, 1),
    topic(`__debezium-heartbeat.${prefix}`, 1),
  ];
}

function relayedTo({ capabilities }: Migration): Migration['capabilities'] {
  return Object.fromEntries(Object.entries(capabilities).filter(([, one]) => isRelayedTo(one)));
}
