// What a source keeps in its WAL for a flow, or a relay: measured also while that fails, because a
// target that is down is what makes it grow, and alarmed of before the server gives the slot up.
import { connect } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import { databaseOf } from './schemas.ts';

const LOOK_MS = 5_000;
/** An alarm that stands is repeated this often. */
const REPEAT_MS = 60_000;
/** Share of max_slot_wal_keep_size at which the alarm is raised. */
const SHARE = 0.5;

export interface RetainedWal {
  /** `flow` or `relay`. */
  readonly reader: string;
  /** Which one, for the log. */
  readonly which: Readonly<Record<string, string>>;
  /** Name of its slot in this database. */
  readonly slotIn: (database: string) => string;
  /** Login at the source. */
  readonly url: string;
  /** Bytes at which the alarm is raised, whatever the server's own limit is. */
  readonly alarmBytes: number;
  /** Bytes that the server keeps for the slot, and bytes that its reader has not confirmed yet. */
  readonly report: (retained: number, behind: number) => Promise<void>;
  readonly log: Logger;
}

interface SlotRow {
  retained: string | null;
  behind: string | null;
  safe: string | null;
  status: string | null;
}

/** Looks every few seconds until the signal aborts; a source that does not answer is asked again. */
export async function watchRetainedWal(watched: RetainedWal, signal: AbortSignal): Promise<void> {
  const { reader, which, log } = watched;
  let toldAt = -Infinity;
  while (!signal.aborted) {
    const found = await look(watched).catch(() => undefined);
    if (found) {
      const why = alarm(found, watched.alarmBytes);
      if (why !== undefined && performance.now() - toldAt >= REPEAT_MS) {
        toldAt = performance.now();
        log.warn(`the source keeps WAL for a ${reader} that is behind`, {
          ...{ ...which, why },
          retainedBytes: found.retained,
          ...(found.safe !== null && { bytesUntilLost: found.safe }),
        });
      }
      if (why === undefined) toldAt = -Infinity;
    }
    await sleep(LOOK_MS, signal);
  }
}

interface Retained {
  readonly retained: number;
  /** Bytes that may still be written before the server gives the slot up; null without a limit. */
  readonly safe: number | null;
  readonly status: string;
}

async function look({ url, slotIn, report }: RetainedWal): Promise<Retained | undefined> {
  const client = await connect(url, { applicationName: 'banyan-wal' });
  try {
    const slot = slotIn(await databaseOf(client));
    const { rows } = await client.query<SlotRow>(
      `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained,
              pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text AS behind,
              safe_wal_size::text AS safe, wal_status AS status
         FROM pg_replication_slots WHERE slot_name = $1`,
      [slot],
    );
    const row = rows[0];
    if (!row) return undefined;
    const retained = Number(row.retained ?? 0);
    await report(retained, Number(row.behind ?? 0)).catch(() => undefined);
    return {
      retained,
      safe: row.safe === null ? null : Number(row.safe),
      status: row.status ?? '',
    };
  } finally {
    await disconnect(client);
  }
}

/** Why there is reason to worry; undefined when there is none. */
export function alarm(found: Retained, alarmBytes: number): string | undefined {
  if (found.status === 'unreserved' || found.status === 'lost')
    return `the slot is ${found.status}`;
  if (found.safe !== null && found.safe < SHARE * (found.safe + found.retained))
    return 'half of what the server keeps for a slot (max_slot_wal_keep_size) is used up';
  if (found.retained >= alarmBytes) return `more than ${alarmBytes} bytes are kept`;
  return undefined;
}
