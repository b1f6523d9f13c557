// What both databases hold of ours while a capability rests in a phase, and nothing more: the flows
// that the phase has, fences and schema from `sync` on. Moves that take something away,
// and an abort that gives up what the service wrote, only change the state and then tidy up to it, so that
// one which was cut short is finished by tidying again.
import { claimsOn } from './claims.ts';
import type { Capability } from './definition.ts';
import { flowsOf, type Flows } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import type { Evidence } from './evidence.ts';
import { closeService, isClosed, takeOver } from './handing-back.ts';
import type { Lease } from './lease.ts';
import type { RelayReports } from './relay-reports.ts';
import type { Replicas } from './replicas.ts';
import { seeOffRelay } from './relay-leave.ts';
import { hasFlow, removeFlow, type FlowEnds, type Right } from './replication.ts';
import { closeTables } from './retire.ts';
import { assertNewest } from './ownership.ts';
import { scalar } from './scalar.ts';
import type { Participant } from './participant.ts';

export interface Registers {
  readonly evidence: Evidence;
  readonly relays: RelayReports;
  readonly replicas: Replicas;
}

type Resting = Pick<CapabilityState, 'capability' | 'phase' | 'epoch' | 'version'>;

/**
 * Removes what this phase does not need. Idempotent; false when there was nothing. Throws TIMED_OUT, and
 * STALE_COORDINATOR where another one has taken over: what is there now may be that one's. A relay that owes
 * events stays, and goes with a later call.
 */
export async function tidy(
  state: Resting,
  definition: Capability,
  ends: FlowPair,
  lease: Lease,
  registers: Registers,
): Promise<boolean> {
  const { phase, epoch } = state;
  const wanted = flowsOf(phase, { hasTables: true, leaves: definition.leaves });
  // What is on these tables is another capability's, or this one's by its former name: a relay's part, too.
  if (!wanted.to && !(await isHere(ends)) && (await claimsOn(ends)).length > 0) return false;
  let found = false;
  const leaving = new Set<FlowEnds>();
  for (const direction of ['to', 'back'] as const) {
    const flow = ends[direction];
    if (wanted[direction] || !(await hasFlow(flow))) continue;
    found = true;
    const relay = await removeFlow(flow, { lease, epoch });
    if (relay === 'leaving') leaving.add(flow);
    if (relay === 'gone' && flow.relayed) await registers.relays.drop(flow.relayed.source);
  }
  if (await sidesTidied(state, definition, { ends, wanted, lease, registers })) found = true;
  // Last of all: nothing else waits for events.
  for (const direction of ['to', 'back'] as const) {
    const flow = ends[direction];
    if (wanted[direction]) continue;
    if (await seenOff(flow, { lease, epoch }, registers.relays, leaving.has(flow))) found = true;
  }
  return found;
}

/** A relay that waits for its outbox may be of any flow that its source has had; a connector's is none of ours. */
export async function seenOff(
  { source, connector, ...flow }: Omit<FlowEnds, 'direction' | 'target'>,
  { lease, epoch }: Right,
  relays: RelayReports,
  waits: boolean,
): Promise<boolean> {
  if (connector) return false;
  await lease.assertHeld();
  return seeOffRelay(source, {
    ...{ tables: flow.tables, known: flow.known, outbox: flow.relayed?.outbox ?? [] },
    ...{ name: flow.relayed?.source, relays, waits },
    assertNewest: () => assertNewest(source.client, source.capability, epoch),
  });
}

interface Sides {
  readonly ends: FlowPair;
  readonly wanted: Flows;
  readonly lease: Lease;
  readonly registers: Registers;
}

/** What is there besides flows: reports of them, schema and fences. */
async function sidesTidied(
  state: Resting,
  definition: Capability,
  { ends, wanted, lease, registers: { evidence, replicas } }: Sides,
): Promise<boolean> {
  const { capability: id, phase, epoch } = state;
  let found = false;
  await lease.assertHeld();
  for (const flow of await evidence.flows(id))
    if (!wanted[flow.direction]) await evidence.dropFlow(id, flow.direction);
  if (wanted.to) return false;
  const { source: monolith, target: service } = ends.to;
  const isAstray = (await astray(replicas, state, definition)).length > 0;
  // Nothing to do but where what the service wrote is given up.
  if (phase === 'monolith') {
    if (await closeService(service, definition, epoch, isAstray)) found = true;
    if (await takeOver(monolith, definition, epoch, lease)) found = true;
  }
  // An edge that is cut off may still send the service writes: they must go on meeting the fence there.
  const stays = isAstray && (await isClosed(service));
  const sides = stays ? [monolith] : [monolith, service];
  for (const side of sides) {
    if (!(await side.present()) && !(await isAbandoned(side))) continue;
    found = true;
    await lease.assertHeld();
    // Closed before the fence goes: nobody slips in between.
    if (phase === 'retired') {
      await closeTables(monolith, definition.tables);
      await lease.assertHeld();
    }
    await side.remove(epoch);
  }
  return found;
}

/** Edges that nobody has heard of since the service took writes of a capability that is the monolith's again. */
export async function astray(
  replicas: Replicas,
  { capability, version, phase }: Pick<CapabilityState, 'capability' | 'version' | 'phase'>,
  { canary }: Capability,
): Promise<readonly string[]> {
  if (phase !== 'monolith') return [];
  return replicas.astray(capability, version, canary.writes ? ['canary', 'cutover'] : ['cutover']);
}

async function isHere({ to }: FlowPair): Promise<boolean> {
  return (await to.source.present()) || (await to.target.present());
}

/** The schema without anybody in it: a coordinator died while its capability was entering. */
async function isAbandoned({ client }: Participant): Promise<boolean> {
  const table = await scalar(client, `SELECT to_regclass('banyan.ownership')`);
  return table !== '' && (await scalar(client, 'SELECT count(*) FROM banyan.ownership')) === '0';
}
