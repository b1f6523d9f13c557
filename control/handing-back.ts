// The monolith owns again by the state, and what the service has written is given up: the steps until the databases
// agree. First nothing more comes back; then the service is closed, also to edges that are cut off; then the
// monolith's sequences go past every key that came back; then its row says that it owns, and only now may its fence
// be lifted. Whoever comes first goes on with them: the command, the same one given again, or the caretaker.
import { parseTableName, quoteTable } from '../core/postgres/identifiers.ts';
import type { Capability } from './definition.ts';
import { hasGaps } from './fence-gaps.ts';
import type { Lease } from './lease.ts';
import type { Participant } from './participant.ts';
import { scalar } from './scalar.ts';
import { findSequences, raiseSequences, scanned } from './sequences.ts';
import { endSharing } from './sharing.ts';
import { patiently } from './table-locks.ts';

const CLOSING = {
  timeoutMs: 30_000,
  what: 'the locks to close the service’s tables',
  hint: 'Once they have ended, give the command again: the monolith opens behind that.',
};

/**
 * Closes the service where its row says that it writes, alone or beside the monolith; where somebody may still
 * `write` there also a fence that has lost something. False when there was nothing to close. Throws TIMED_OUT,
 * STALE_COORDINATOR.
 */
export async function closeService(
  service: Participant,
  definition: Pick<Capability, 'tables' | 'canary'>,
  epoch: number,
  mayWrite: boolean,
): Promise<boolean> {
  if (!(await service.present())) return false;
  const isShared = await service.isShared();
  const isOpen = isShared || (await service.owns(epoch));
  if (!isOpen && !(mayWrite && (await hasGaps(service, 'monolith')))) return false;
  // Somebody has begun to take the service down: nothing keeps a side that has lost tables from being left.
  if (await lacksTables(service)) return false;
  await patiently(
    service,
    () =>
      isShared
        ? endSharing(service, definition, 'monolith', epoch)
        : service.fence('monolith', epoch),
    CLOSING,
  );
  return true;
}

/** Whether it is here with a fence that refuses whoever writes. */
export async function isClosed(service: Participant): Promise<boolean> {
  if (!(await service.present()) || (await service.isShared())) return false;
  return !(await lacksTables(service)) && !(await hasGaps(service, 'monolith'));
}

/**
 * Behind its fence, with no flow to it left. False where it owned all along: then nothing of its own has come
 * from elsewhere, and it is open to writers. Throws STALE_COORDINATOR.
 */
export async function takeOver(
  monolith: Participant,
  { tables }: Pick<Capability, 'tables'>,
  epoch: number,
  lease: Lease,
): Promise<boolean> {
  if (!(await monolith.present()) || (await monolith.owns(epoch))) return false;
  await lease.assertHeld();
  // The service's own sequence may not be asked; what it gave and lost is given again.
  const plans = await findSequences(tables, monolith, monolith);
  await raiseSequences(await scanned(plans, monolith, monolith), monolith, monolith, epoch);
  await monolith.guarded(epoch, (client) =>
    client.query('UPDATE banyan.ownership SET owns = true WHERE capability = $1', [
      monolith.capability,
    ]),
  );
  return true;
}

async function lacksTables({ client, tableNames }: Participant): Promise<boolean> {
  const names = tableNames.map(parseTableName).map(quoteTable);
  const missing = 'SELECT count(*) FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL';
  return (await scalar(client, missing, [names])) !== '0';
}
