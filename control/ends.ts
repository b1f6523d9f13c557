// Both databases of a capability, opened for the coordinator, and the two flows between them.
import type { Connections } from './connections.ts';
import type { Capability, Migration } from './definition.ts';
import { Participant } from './participant.ts';
import { flowEnds, type FlowEnds } from './replication.ts';

export interface FlowPair {
  readonly to: FlowEnds;
  readonly back: FlowEnds;
}

export interface Where {
  readonly connections: Connections;
  readonly changeLog: Migration['changeLog'];
}

/** Runs `work` with both sides open; with undefined for a capability without tables. */
export async function withEnds<T>(
  { connections, changeLog }: Where,
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
          connector: capability.source?.debezium,
        },
        back: flowEnds(id, 'back', monolith, service, tables, relayed(name)),
      });
    } finally {
      await service.close();
    }
  } finally {
    await monolith.close();
  }
}
