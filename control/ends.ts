// Both databases of a capability, opened for the coordinator, and the two flows between them.
import type { Connections } from './connections.ts';
import type { Capability, Migration } from './definition.ts';
import { flowNames } from './domain/names.ts';
import { mappedTables } from './grants.ts';
import { Participant } from './participant.ts';
import { flowEnds, type FlowEnds } from './replication.ts';

export interface FlowPair {
  readonly to: FlowEnds;
  readonly back: FlowEnds;
}

export interface Where extends Pick<Migration, 'changeLog' | 'capabilities'> {
  readonly connections: Connections;
}

/** What a capability has at the monolith, where the service's database is not to be had. */
export interface MonolithOnly {
  readonly monolith: Participant;
  readonly to: Omit<FlowEnds, 'direction' | 'target'>;
  readonly back: Pick<FlowEnds, 'names' | 'target'>;
}

/** Runs `work` with the monolith's side open alone; with undefined for a capability without tables. */
export async function withMonolith<T>(
  { connections, changeLog, capabilities }: Where,
  id: string,
  { service: name, tables }: Capability,
  work: (only: MonolithOnly | undefined) => Promise<T>,
): Promise<T> {
  const logins = connections.monolith.database;
  if (tables.length === 0 || !logins) return work(undefined);
  const labels = { monolith: 'the monolith', service: `service "${name}"` };
  const monolith = await Participant.open({
    ...{ capability: id, labels, tables, logins, side: 'monolith' },
  });
  try {
    const { database } = monolith;
    const outbox = changeLog === 'direct' ? [] : (changeLog.kafka.outbox['monolith'] ?? []);
    return await work({
      monolith,
      // The names at one side are made of that side's database alone.
      to: {
        names: flowNames(id, 'to', { source: database, target: '' }),
        source: monolith,
        tables: tables.flatMap((table) => table.monolith),
        relayed:
          changeLog === 'direct'
            ? undefined
            : { source: 'monolith', outbox: outbox.map(({ table }) => table) },
        known: mappedTables({ capabilities }, 'monolith'),
      },
      back: {
        names: flowNames(id, 'back', { source: '', target: database }),
        target: monolith,
      },
    });
  } finally {
    await monolith.close();
  }
}

/** What Banyan has of a relay at its source, where that is all that is looked at. */
export interface RelaySide {
  readonly source: Participant;
  readonly known: readonly string[];
  readonly outbox: readonly string[];
}

/** Runs `work` with one database open, for a capability that has tables there; `from` is `monolith` or its service. */
export async function withSource<T>(
  { connections, changeLog, capabilities }: Where,
  from: string,
  [id, { tables }]: readonly [string, Capability],
  work: (side: RelaySide) => Promise<T>,
): Promise<T> {
  const side = from === 'monolith' ? 'monolith' : 'service';
  const logins = (side === 'monolith' ? connections.monolith : connections.services[from])
    ?.database;
  if (!logins) throw new RangeError(`no logins of ${from}`);
  const labels = { monolith: 'the monolith', service: `service "${from}"` };
  const source = await Participant.open({ capability: id, side, labels, tables, logins });
  try {
    const outbox = changeLog === 'direct' ? [] : (changeLog.kafka.outbox[from] ?? []);
    return await work({
      source,
      known: mappedTables({ capabilities }, side, side === 'service' ? from : undefined),
      outbox: outbox.map(({ table }) => table),
    });
  } finally {
    await source.close();
  }
}

/** Runs `work` with both sides open; with undefined for a capability without tables. */
export async function withEnds<T>(
  { connections, changeLog, capabilities }: Where,
  id: string,
  capability: Capability,
  work: (ends: FlowPair | undefined) => Promise<T>,
): Promise<T> {
  const { service: name, tables } = capability;
  const logins = {
    monolith: connections.monolith.database,
    service: connections.services[name]?.database,
  };
  if (tables.length === 0 || !logins.monolith || !logins.service) return work(undefined);
  const labels = { monolith: 'the monolith', service: `service "${name}"` };
  const relayed = (source: string): FlowEnds['relayed'] =>
    changeLog === 'direct' || (source === 'monolith' && capability.source)
      ? undefined
      : { source, outbox: (changeLog.kafka.outbox[source] ?? []).map(({ table }) => table) };
  const common = { capability: id, labels, tables };
  const monolith = await Participant.open({ ...common, side: 'monolith', logins: logins.monolith });
  try {
    const service = await Participant.open({ ...common, side: 'service', logins: logins.service });
    try {
      return await work({
        to: {
          ...flowEnds(id, 'to', monolith, service, tables, relayed('monolith')),
          known: mappedTables({ capabilities }, 'monolith'),
          connector: capability.source?.debezium,
        },
        back: {
          ...flowEnds(id, 'back', monolith, service, tables, relayed(name)),
          known: mappedTables({ capabilities }, 'service', name),
        },
      });
    } finally {
      await service.close();
    }
  } finally {
    await monolith.close();
  }
}
