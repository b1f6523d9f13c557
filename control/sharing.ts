// Into a write canary and out of it, in both databases, each at one exact position of its stream. While
// it lasts the monolith owns the data and judges what the service's clients write; the switch of the
// traffic around it is the caller's (write-canary.ts).
import { BanyanError } from '../core/errors.ts';
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
import { patiently } from './table-locks.ts';

const LOCKS_TIMEOUT_MS = 30_000;
const CLOSING = { timeoutMs: LOCKS_TIMEOUT_MS, what: 'the locks of the tables to close them' };

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
  // One that was left without sync to has kept them: answers that never come, to writes that are judged.
  if (!(await isShared(monolith))) await forgetAwaited(ends, epoch);
  await open(monolith, definition, epoch);
  await waitForBarrier(ends.to, epoch, timeoutMs);
  // Every answer has arrived that was under way.
  if (!(await isShared(service))) await forgetFlights(service, epoch);
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
  await patiently(service, () => endSharing(service, definition, 'monolith', epoch), CLOSING);
  await waitForBarrier(ends.back, epoch, timeoutMs);
  const end = (): Promise<boolean> => endSharing(monolith, definition, 'monolith', epoch);
  await patiently(monolith, end, CLOSING);
  await waitForBarrier(ends.to, epoch, timeoutMs);
  await forgetSharing(ends, epoch);
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
 * One side is open to both no more. At the service, nobody but the applier writes from here on. The
 * monolith, once it has all that the service wrote, judges no more: it writes alone, or leaves that to the
 * service. False when a lock could not be had.
 */
export async function endSharing(
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

/** Every answer has arrived: nothing more is asked of what was kept for them. */
export async function forgetSharing(ends: FlowPair, epoch: number): Promise<void> {
  await Promise.all([forgetFlights(ends.to.target, epoch), forgetAwaited(ends, epoch)]);
}

/** By the epoch: one that comes late would forget what the next write canary still needs. */
async function forgetFlights(service: Participant, epoch: number): Promise<void> {
  await service.guarded(epoch, (client) =>
    client.query('DELETE FROM banyan.flight WHERE capability = $1', [service.capability]),
  );
}

async function forgetAwaited({ to, back }: FlowPair, epoch: number): Promise<void> {
  const { capability } = to.source;
  await to.source.guarded(epoch, async (client) => {
    await client.query('DELETE FROM banyan.awaited WHERE flow = $1', [back.names.flow]);
    await client.query('DELETE FROM banyan.tombstone WHERE capability = $1', [capability]);
  });
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
    // Each partition has one of its own, and what is set for the table does not reach them.
    for (const one of [table, ...(await partitionsOf(side.client, table))]) {
      const name = quoteTable(one);
      const identity = 'SELECT relreplident FROM pg_class WHERE oid = $1::regclass';
      if ((await scalar(side.client, identity, [name])) === 'f') continue;
      missing.push(`the replica identity of ${name} is not full`);
      mend.push(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
    }
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
  const attempt = async (): Promise<boolean> => {
    const statements = await side.fencing(side.side);
    for (const table of await tablesOf(side, definition))
      statements.push(...shareStatements(share, table));
    statements.push(sharedText(side, true));
    return side.stand(epoch, statements, { owns: side.side === 'monolith', shared: true });
  };
  const what = `the locks of the ${side.side}'s tables to open them to both sides`;
  await patiently(side, attempt, { timeoutMs: LOCKS_TIMEOUT_MS, what });
}

function sharedText({ capability }: Participant, shared: boolean): string {
  return `UPDATE banyan.ownership SET shared = ${shared} WHERE capability = ${quoteLiteral(capability)}`;
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
