// Who keeps a switch from closing the tables, before anybody is held: he is named and the switch refused; or
// it waits for him; or it ends him, which the record of the switch tells. A prepared transaction nobody ends
// but a human: it is promised to somebody. A vacuum of the server's own gives way by itself, to whoever waits
// for a lock; one that does not is against wraparound, and is nobody's to end.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { sqlState } from '../core/postgres/connect.ts';
import { quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import type { Logger } from '../core/log.ts';
import { blockersOf, type Blocker, type BlockingSession } from './blockers.ts';
import type { BlockerPolicy } from './domain/move.ts';
import type { Participant } from './participant.ts';
import { outwaitVacuums } from './table-locks.ts';

const OLD_MS = 2_000;
const POLL_MS = 250;
/** Who comes in the last moment, and is to be waited for, keeps others from moving the capability. */
const WAIT_MS = 10_000;
/** What has been asked to end does so, or its session is ended. */
const CANCEL_MS = 3_000;
const NOT_ALLOWED = '42501';

export interface Unblocking {
  /** Those whose tables are to be closed or opened: both take the same locks. */
  readonly sides: readonly Participant[];
  readonly policy: BlockerPolicy;
  /** How long those are waited for who are to be. */
  readonly waitMs?: number;
  readonly log: Pick<Logger, 'warn'>;
  /** Throws where nobody wants the switch any more. */
  readonly assertWanted?: () => void;
}

/** Gives the lines of those that it has ended. Throws GATE_REFUSED. */
export async function unblock({
  sides,
  policy,
  waitMs = WAIT_MS,
  log,
  assertWanted,
}: Unblocking): Promise<string[]> {
  const ended: string[] = [];
  const [begun, told] = [performance.now(), new Set<string>()];
  let areVacuumsAsked = false;
  for (;;) {
    const found = (await Promise.all(sides.map(inTheWay))).flat();
    const lines = found.map(({ line }) => line);
    if (lines.length === 0) return ended;
    assertWanted?.();
    const vacuumed = new Set(found.filter(isVacuum).map(({ side }) => side));
    if (vacuumed.size > 0 && !areVacuumsAsked) {
      areVacuumsAsked = true;
      for (const side of vacuumed) await outwaitVacuums(side.client, tablesOf(side));
      continue;
    }
    const waitedMs = performance.now() - begun;
    const limitMs = { refuse: 0, wait: waitMs, cancel: 2 * CANCEL_MS }[policy];
    const isPrepared = found.some(({ session }) => session === undefined);
    if (waitedMs >= limitMs || (policy === 'cancel' && isPrepared)) throw refusal(policy, lines);
    for (const { side, session, line } of found) {
      if (!session) continue;
      const key = `${side.database} ${session.pid} ${session.began}`;
      if (!told.has(key)) log.warn('in the way of a switch', { policy, blocker: line });
      const isNew = !told.has(key);
      told.add(key);
      if (policy !== 'cancel' || isSpared(side, session)) continue;
      if ((await end(side.client, session, waitedMs > CANCEL_MS)) && isNew) ended.push(line);
    }
    await sleep(POLL_MS);
  }
}

export async function isBlocked({ sides }: Pick<Unblocking, 'sides'>): Promise<boolean> {
  return (await Promise.all(sides.map(inTheWay))).flat().length > 0;
}

interface InTheWay extends Blocker {
  readonly side: Participant;
}

async function inTheWay(side: Participant): Promise<InTheWay[]> {
  const found = await blockersOf(side.client, tablesOf(side).map(quoteTable), OLD_MS, 'fence');
  return found.map((one) => ({ ...one, side }));
}

function tablesOf(side: Participant): TableName[] {
  return side.closed(side.side).tables.map(({ table }) => table);
}

function isVacuum({ session }: Blocker): boolean {
  return session?.isVacuum === true;
}

/** What our own applier does must be done, and a vacuum that has not gone by itself is one against wraparound. */
function isSpared(
  { applier }: Participant,
  { role, isVacuum: isServers }: BlockingSession,
): boolean {
  return role === applier || isServers;
}

/**
 * Its statement is cancelled, which ends its transaction; where it runs none, or has not heard, its session
 * is. A process number may be another's by now: it must still be the same transaction.
 */
async function end(
  client: pg.Client,
  { pid, began, state }: BlockingSession,
  isLate: boolean,
): Promise<boolean> {
  const by = state === 'active' && !isLate ? 'pg_cancel_backend' : 'pg_terminate_backend';
  try {
    const { rows } = await client.query(
      `SELECT ${by}(pid) FROM pg_stat_activity WHERE pid = $1 AND xact_start = $2::timestamptz`,
      [pid, began],
    );
    return rows.length > 0;
  } catch (error) {
    if (sqlState(error) !== NOT_ALLOWED) throw error;
    throw new BanyanError('GATE_REFUSED', `the coordinator may not end process ${pid}`, {
      hint: 'GRANT pg_signal_backend TO its login in that database; a superuser’s sessions only a superuser ends.',
      cause: error,
    });
  }
}

function refusal(policy: BlockerPolicy, lines: readonly string[]): BanyanError {
  return new BanyanError(
    'GATE_REFUSED',
    `open transactions would block the fence: ${lines.join('; ')}`,
    {
      hint:
        policy === 'refuse'
          ? 'End them, or wait until they are done, and try again; `--blockers wait` waits for them, `--blockers cancel` ends them.'
          : 'End them, and try again: prepared transactions with COMMIT PREPARED or ROLLBACK PREPARED.',
    },
  );
}
