// How far the flows have read the topics that relays fill, by what their groups were told: a flow that is
// behind, and whose next records are the next ones that retention deletes, is found while it has still time.
import { isBanyanError } from '../../core/errors.ts';
import type { Admin } from '../../core/kafka/client.ts';
import type { Capability, Migration } from '../../control/definition.ts';
import type { KafkaSettings } from '../../control/kafka-settings.ts';
import { isRelayedTo, sourcesOf, tableTopic, topicPrefix } from '../../control/kafka-topics.ts';
import type { Reading } from '../domain/kafka-findings.ts';

interface Reader {
  readonly flow: string;
  readonly group: string;
  readonly topics: readonly string[];
}

/** Of the topics that are there; nothing of groups that this login may not look at. Throws KAFKA_UNREACHABLE. */
export async function readingsOf(
  admin: Admin,
  migration: Migration,
  settings: KafkaSettings,
  present: ReadonlySet<string>,
): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const { flow, group, topics } of readersOf(migration, settings)) {
    const there = topics.filter((topic) => present.has(topic));
    const offsets = await offsetsOf(admin, group, there);
    for (const topic of offsets.size > 0 ? there : [])
      for (const { partition, low, high } of await admin.ranges(topic)) {
        const next = offsets.get(`${topic}/${partition}`);
        if (next !== undefined) readings.push({ flow, topic, partition, next, low, high });
      }
  }
  return readings;
}

function readersOf(migration: Migration, settings: KafkaSettings): Reader[] {
  return sourcesOf(migration).flatMap((source) => {
    const prefix = topicPrefix(settings, source);
    const isTo = source === 'monolith';
    const own = Object.entries(migration.capabilities).filter(([, one]) =>
      isTo ? isRelayedTo(one) : one.service === source && one.tables.length > 0,
    );
    return own.map(([id, { tables }]): Reader => {
      const flow = `${id}:${isTo ? 'to' : 'back'}`;
      const topics =
        settings.layout === 'changes'
          ? [`${prefix}.changes`]
          : tablesAt(tables, isTo).map((table) => tableTopic(prefix, table));
      return { flow, group: `${settings.prefix}.${flow}`, topics: [...new Set(topics)] };
    });
  });
}

function tablesAt(tables: Capability['tables'], isTo: boolean): string[] {
  return tables.flatMap(({ monolith, service }) => (isTo ? monolith : service));
}

/** By `topic/partition`; of a group that has read nothing, none. */
async function offsetsOf(
  admin: Admin,
  group: string,
  topics: readonly string[],
): Promise<ReadonlyMap<string, bigint>> {
  if (topics.length === 0) return new Map();
  try {
    const offsets = await admin.groupOffsets(group, topics);
    return new Map(
      offsets.flatMap(({ topic, partition, offset }): [string, bigint][] =>
        offset < 0n ? [] : [[`${topic}/${partition}`, offset]],
      ),
    );
  } catch (error) {
    if (isBanyanError(error, 'KAFKA_REFUSED')) return new Map();
    throw error;
  }
}
