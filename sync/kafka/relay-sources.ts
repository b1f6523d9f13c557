// The databases that changes come from, each with what its relay has to know of the definition.
import type { NewTopic } from '../../core/kafka/client.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Connections } from '../../control/connections.ts';
import type { Migration } from '../../control/definition.ts';
import type { OutboxSettings } from '../domain/debezium/outbox.ts';
import { flowsOf, type Phase } from '../../control/domain/phase.ts';
import type { KafkaSettings } from '../../control/kafka-settings.ts';
import {
  connectorTopic,
  isRelayedTo,
  sourcesOf,
  tableTopic,
  topicPrefix,
  topicsOf,
} from '../../control/kafka-topics.ts';
import { lettersTopic } from './outbox-letters.ts';

export interface RelaySource {
  /** `monolith`, or the service whose database it is. */
  readonly name: string;
  /** Login that reads the slot. */
  readonly url: string;
  readonly settings: KafkaSettings;
  /** First part of its topics' names. */
  readonly prefix: string;
  readonly topics: readonly NewTopic[];
  /** Names that have a use of their own in the definition, here or at another source: no event goes there. */
  readonly reserved: ReadonlySet<string>;
  /** What the definition names there, as `schema.table`. */
  readonly tables: ReadonlySet<string>;
  /** By capability, the topics of the tables that it has there. */
  readonly topicsOf: ReadonlyMap<string, readonly string[]>;
  /** And the tables, as `schema.table`. */
  readonly tablesOf: ReadonlyMap<string, readonly string[]>;
  readonly outboxes: readonly OutboxSettings[];
  /** Whether a flow leads from here. */
  readonly wanted: (phaseOf: (capability: string) => Phase) => boolean;
}

/** None where the change log is not Kafka. */
export function relaySources(migration: Migration, connections: Connections): RelaySource[] {
  const { changeLog } = migration;
  if (changeLog === 'direct') return [];
  const { kafka: settings } = changeLog;
  const reserved = reservedTopics(migration, settings);
  return sourcesOf(migration).flatMap((name) => {
    const [side, direction] =
      name === 'monolith'
        ? ([connections.monolith, 'to'] as const)
        : ([connections.services[name], 'back'] as const);
    if (!side?.database) return [];
    const prefix = topicPrefix(settings, name);
    const own = Object.entries(migration.capabilities).filter(
      ([, one]) =>
        one.tables.length > 0 && (direction === 'to' ? isRelayedTo(one) : one.service === name),
    );
    const tablesBy = own.map(([id, { tables }]): [string, string[]] => [
      id,
      tables
        .flatMap((table) => (direction === 'to' ? table.monolith : table.service))
        .map((table) => formatTable(parseTableName(table))),
    ]);
    const outboxes = settings.outbox[name] ?? [];
    return [
      {
        ...{ name, settings, prefix, reserved, url: side.database.capture },
        outboxes,
        tables: new Set([
          ...tablesBy.flatMap(([, tables]) => tables),
          ...outboxes.map(({ table }) => table),
        ]),
        topics: topicsOf(migration, settings, name),
        tablesOf: new Map(tablesBy),
        topicsOf: new Map(
          tablesBy.map(([id, tables]) => [id, tables.map((table) => tableTopic(prefix, table))]),
        ),
        wanted: (phaseOf) =>
          own.some(
            ([id, { leaves }]) => flowsOf(phaseOf(id), { hasTables: true, leaves })[direction],
          ),
      },
    ];
  });
}

function reservedTopics(migration: Migration, settings: KafkaSettings): ReadonlySet<string> {
  const relayed = sourcesOf(migration).flatMap((source) => [
    ...topicsOf(migration, settings, source).map(({ topic }) => topic),
    lettersTopic(topicPrefix(settings, source)),
  ]);
  const connected = Object.values(migration.capabilities).flatMap(({ source, tables }) =>
    source
      ? tables
          .flatMap(({ monolith }) => monolith)
          .map((table) => connectorTopic(source.debezium, table))
      : [],
  );
  return new Set([...relayed, ...connected]);
}
