// Into a write canary and out of it, in both databases, each at one exact position of its stream. While
// it lasts the monolith owns the data and judges what the service's clients write; the switch of the
// traffic around it is the caller's (write-canary.ts).
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { quoteLiteral, quoteTable } from '../core/postgres/identifiers.ts';
import type { Capability } from './definition.ts';
import {
  sharedTables,
  shareStatements,
  unshareStatements,
  type SharedTable,
} from './domain/share.ts';
import type { Owner } from './domain/phase.ts';
import type { FlowPair } from './ends.ts';
import { scalar, type Participant } from './participant.ts';
import { waitForBarrier } from './replication.ts';
import { partitionsOf } from './table-facts.ts';

const LOCKS_TIMEOUT_MS = 30_000;

/** What of a capability it takes. */
export type Shared = Pick<Capability, 'tables' | 'canary'>;

export interface SharingOptions {
  readonly ends: FlowPair;
  readonly definition: Shared;
  /** Greater than that of the last move of ownership. */
  readonly epoch: number;
  /** How long a flow may take to come to the position. */
  readonly timeoutMs?: number;
}

/**
 * Lets the service write beside the monolith. The owner's stream comes first: when the service opens,
 * what arrives there already spares the rows that are in flight. Can be repeated. Throws
 * PREFLIGHT_FAILED where the databases do not allow it, TIMED_OUT, STALE_COORDINATOR.
 */
export async function enterSharing(options: SharingOptions): Promise<void> {
  const { ends, definition, epoch, timeoutMs = LOCKS_TIMEOUT_MS } = options;
  const { source: monolith, target: service } = ends.to;
  if (!definition.canary.writes)
    throw new BanyanError('MOVE_NOT_ALLOWED', 'the definition allows no writes in a canary', {
      hint: 'Say so under the capability: canary: { writes: true }.',
    });
  await assertReady(monolith, definition);
  await assertReady(service, definition);
  for (const side of [monolith, service]) await side.prepare(epoch);
  await open(monolith, definition, epoch);
  await waitForBarrier(ends.to, epoch, timeoutMs);
  await open(service, definition, epoch);
  await waitForBarrier(ends.back, epoch, timeoutMs);
}

/**
 * The monolith writes alone again. The service is closed first; everything that it has written is
 * judged, and every answer has arrived, when this resolves. Can be repeated.
 */
export async function leaveSharing(options: SharingOptions): Promise<void> {
  const { ends, definition, epoch, timeoutMs = LOCKS_TIMEOUT_MS } = options;
  const { source: monolith, target: service } = ends.to;
  await patiently('to close it', () => closeService(service, definition, epoch));
  await waitForBarrier(ends.back, epoch, timeoutMs);
  await patiently('to close it', () => endSharing(monolith, definition, 'monolith', epoch));
  await waitForBarrier(ends.to, epoch, timeoutMs);
  await forgetSharing(ends);
}

/** Nobody but the applier writes at the service from here on. False when a lock could not be had. */
export async function closeService(
  service: Participant,
  definition: Shared,
  epoch: number,
): Promise<boolean> {
  return shut(service, definition, 'monolith', epoch);
}

/** The service opens again; what the monolith's stream tells it has not changed meanwhile. */
export async function reopenService(
  service: Participant,
  definition: Shared,
  epoch: number,
): Promise<void> {
  if (!(await isShared(service))) await open(service, definition, epoch);
}

/**
 * The monolith judges no more, once it has all that the service wrote: it writes alone, or leaves that to
 * the service. False when a lock could not be had.
 */
export async function endSharing(
  monolith: Participant,
  definition: Shared,
  owner: Owner,
  epoch: number,
): Promise<boolean> {
  return shut(monolith, definition, owner, epoch);
}

/** Every answer has arrived: nothing more is asked of what was kept for them. */
export async function forgetSharing({ to, back }: FlowPair): Promise<void> {
  const { source: monolith, target: service } = to;
  const { capability } = service;
  await service.client.query('DELETE FROM banyan.flight WHERE capability = $1', [capability]);
  await monolith.client.query('DELETE FROM banyan.awaited WHERE flow = $1', [back.names.flow]);
  await monolith.client.query('DELETE FROM banyan.tombstone WHERE capability = $1', [capability]);
}

/** Whether a side is open to both, by its own account. */
export async function isShared(side: Participant): Promise<boolean> {
  // A schema that was made by an older version has no such column.
  const shared = `SELECT to_jsonb(o) ->> 'shared' FROM banyan.ownership o WHERE capability = $1`;
  return (await scalar(side.client, shared, [side.capability])) === 'true';
}

/** Throws PREFLIGHT_FAILED, naming everything that is missing in one database. */
async function assertReady(side: Participant, { tables, canary }: Shared): Promise<void> {
  const missing: string[] = [];
  const mend: string[] = [];
  for (const { table } of sharedTables(tables, side.side)) {
    const name = quoteTable(table);
    const identity = 'SELECT relreplident FROM pg_class WHERE oid = $1::regclass';
    if ((await scalar(side.client, identity, [name])) === 'f') continue;
    missing.push(`the replica identity of ${name} is not full`);
    mend.push(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
  }
  if (
    side.side === 'monolith' &&
    canary.conflicts === 'last-writer-wins' &&
    (await scalar(side.client, 'SHOW track_commit_timestamp')) !== 'on'
  ) {
    missing.push('the server keeps no commit times');
    mend.push('set track_commit_timestamp = on in postgresql.conf and restart the server');
  }
  if (missing.length > 0)
    throw new BanyanError(
      'PREFLIGHT_FAILED',
      `a write canary cannot begin at the ${side.side}: ${missing.join('; ')}`,
      { hint: `${mend.join('; ')}.` },
    );
}

async function open(side: Participant, definition: Shared, epoch: number): Promise<void> {
  const share = shareOf(side, definition);
  await patiently('to open it to both sides', async () => {
    const statements = await side.fencing(side.side);
    for (const table of await tablesOf(side, definition))
      statements.push(...shareStatements(share, table));
    statements.push(sharedText(side, true));
    return side.stand(epoch, statements, { owns: side.side === 'monolith', shared: true });
  });
}

async function shut(
  side: Participant,
  definition: Shared,
  owner: Owner,
  epoch: number,
): Promise<boolean> {
  const share = shareOf(side, definition);
  const statements = await side.fencing(owner);
  for (const table of await tablesOf(side, definition))
    statements.push(...unshareStatements(share, table));
  statements.push(sharedText(side, false));
  return side.stand(epoch, statements, { owns: side.side === owner, shared: false });
}

function sharedText({ capability }: Participant, shared: boolean): string {
  return `UPDATE banyan.ownership SET shared = ${shared} WHERE capability = ${quoteLiteral(capability)}`;
}

function patiently(what: string, attempt: () => Promise<boolean>): Promise<unknown> {
  return waitFor(attempt, { timeoutMs: LOCKS_TIMEOUT_MS, what: `the locks of the tables ${what}` });
}

function shareOf(side: Participant, { canary }: Shared) {
  return {
    capability: side.capability,
    side: side.side,
    applier: side.applier,
    tombstones: canary.conflicts === 'last-writer-wins',
  };
}

async function tablesOf(side: Participant, { tables }: Shared): Promise<SharedTable[]> {
  const all: SharedTable[] = [];
  for (const one of sharedTables(tables, side.side))
    all.push({ ...one, partitions: await partitionsOf(side.client, one.table) });
  return all;
}
