// Back to the monolith although the way back does not drain, or the service's database is gone for good:
// what the service has written and what has not come back is given up, and said. The state changes first, and
// the monolith's fence stands until it may own (handing-back.ts). Cut short anywhere, the same command goes on,
// or whoever tidies up.
import type { Knex } from 'knex';
import { BanyanError, isBanyanError } from '../core/errors.ts';
import { withClient } from '../core/postgres/connect.ts';
import type { SideConnections } from './connections.ts';
import type { Capability } from './definition.ts';
import type { CapabilityState } from './domain/state.ts';
import { ownerOf } from './domain/phase.ts';
import { withEnds, withMonolith, type FlowPair, type MonolithOnly, type Where } from './ends.ts';
import type { Evidence } from './evidence.ts';
import { takeOver } from './handing-back.ts';
import { removeSourceParts, removeTargetParts } from './replication.ts';
import type { RelayReports } from './relay-reports.ts';
import type { Replicas } from './replicas.ts';
import { seenOff, tidy } from './rest.ts';
import { findSequences } from './sequences.ts';
import { assertRaisable } from './sequence-rights.ts';
import type { Lease } from './lease.ts';
import type { JournalEntry, StateStore } from './store.ts';

export interface GivingUp {
  readonly store: StateStore;
  readonly evidence: Evidence;
  readonly replicas: Replicas;
  readonly relays: RelayReports;
  readonly where: Where;
  readonly definition: Capability;
  readonly lease: Lease;
  readonly entry: JournalEntry;
}

export interface Loss {
  /** What was given up; empty where the monolith owned it all. */
  readonly lost: readonly string[];
  /** Whether the service's database could not be cleaned. */
  readonly serviceLeft: boolean;
}

const TRAFFIC_TIMEOUT_MS = 5_000;

/** While nobody else moves the capability. Throws TIMED_OUT, PREFLIGHT_FAILED, and MOVE_NOT_ALLOWED for a retired one. */
export async function giveUp(given: GivingUp, capability: string): Promise<Loss> {
  const { store, evidence, where, definition } = given;
  const state = await store.readOne(capability);
  if (state.phase === 'retired')
    throw new BanyanError('MOVE_NOT_ALLOWED', `capability "${capability}" has retired`);
  const wrote = ownerOf(state.phase) === 'service' || state.shared;
  const loss: Loss = {
    lost: wrote && state.phase !== 'monolith' ? await lossOf(evidence, capability) : [],
    serviceLeft: !(await answers(definition, where.connections.services[definition.service])),
  };
  const work = (sides: Sides): Promise<void> => take(given, state, loss, sides);
  await (loss.serviceLeft
    ? withMonolith(where, capability, definition, (only) => work(only && { only }))
    : withEnds(where, capability, definition, (ends) => work(ends && { ends })));
  return loss;
}

async function lossOf(evidence: Evidence, capability: string): Promise<string[]> {
  const back = (await evidence.flows(capability)).find((one) => one.direction === 'back');
  const since = back?.watermark;
  return [
    since === undefined || since === null
      ? 'everything that the service has written'
      : `what the service has written since ${since}`,
    ...(back && (back.parked ?? 0) > 0
      ? [`${back.parked} changes of the service that are parked`]
      : []),
  ];
}

/** Both sides, or the monolith's alone; nothing for a capability without tables. */
type Sides = { readonly ends: FlowPair } | { readonly only: MonolithOnly } | undefined;

async function take(
  { store, evidence, replicas, relays, definition, lease, entry }: GivingUp,
  given: CapabilityState,
  loss: Loss,
  sides: Sides,
): Promise<void> {
  const { capability } = given;
  await assertTakesOver(given, sides);
  // Also where it is in the monolith already: a command that was cut short goes on under a newer epoch.
  const state = await store.change(
    given,
    { phase: 'monolith', weight: 0, holding: false, shared: false, epoch: given.epoch + 1 },
    { ...entry, evidence: { ...loss } },
    (db) => endOpen(db, capability),
  );
  await replicas.acknowledged(capability, state.version, TRAFFIC_TIMEOUT_MS);
  if (!sides) return;
  if ('ends' in sides) {
    await tidy(state, definition, sides.ends, lease, { evidence, relays, replicas });
    return;
  }
  const { monolith, to, back } = sides.only;
  const right = { lease, epoch: state.epoch };
  await removeTargetParts(back, right);
  const relay = await removeSourceParts(to, right);
  if (relay === 'gone' && to.relayed) await relays.drop(to.relayed.source);
  for (const direction of ['to', 'back'] as const) await evidence.dropFlow(capability, direction);
  await takeOver(monolith, definition, state.epoch, lease);
  await lease.assertHeld();
  await monolith.remove(state.epoch);
  await seenOff(to, right, relays, relay === 'leaving');
}

/** Throws PREFLIGHT_FAILED where the monolith could not be opened afterwards: it is found while the service owns. */
async function assertTakesOver({ phase }: CapabilityState, sides: Sides): Promise<void> {
  if (!sides || ownerOf(phase) !== 'service') return;
  const monolith = 'ends' in sides ? sides.ends.to.source : sides.only.monolith;
  await assertRaisable(
    await findSequences(monolith.tables, monolith, monolith),
    monolith,
    monolith,
  );
}

/** No switch or rehearsal of it goes on. */
async function endOpen(db: Knex.Transaction, capability: string): Promise<void> {
  const ended_at = db.raw('clock_timestamp()');
  await db('banyan.switch')
    .where({ capability })
    .whereIn('status', ['running', 'flipped'])
    .update({ status: 'undone', ended_at });
  await db('banyan.rehearsal')
    .where({ capability, status: 'running' })
    .update({ status: 'failed', ended_at });
}

/** Whether the service's database lets the coordinator in. */
async function answers(
  { tables }: Capability,
  service: SideConnections | undefined,
): Promise<boolean> {
  if (tables.length === 0 || !service?.database) return true;
  const { coordinator, applier, capture } = service.database;
  try {
    for (const url of [coordinator, applier, capture])
      await withClient(url, { applicationName: 'banyan-coordinator' }, (client) =>
        client.query('SELECT 1'),
      );
    return true;
  } catch (error) {
    if (!isBanyanError(error, 'DATABASE_UNREACHABLE')) throw error;
    return false;
  }
}
