// Whose turn it is to work a source's slot. The slot lets one reader in, and is free as soon as its
// reader's process or connection has died. A reader that stands still (stopped, or cut off) keeps it:
// there the lease in the control database tells. It is renewed every second; who has seen it stand still
// for some seconds, by its own clock, while the same session held the slot, takes the next term, and
// only then ends that session. Nobody's safety rests on this: see relay.ts.
import type pg from 'pg';
import { BanyanError } from '../../core/errors.ts';
import { sleep } from '../../core/lifecycle.ts';
import type { RelayTerms, Term } from '../../control/relay-terms.ts';

export interface TurnOptions {
  readonly source: string;
  readonly slot: string;
  /** Told from all others, also from an earlier life of this process. */
  readonly holder: string;
  /** Session at the source with the login that reads the slot. */
  readonly client: pg.Client;
  readonly terms: RelayTerms;
  /** Called at each look in vain: this one stands by. */
  readonly onStandby: () => Promise<void>;
}

const LOOK_MS = 500;
const RENEW_MS = 1_000;
/** A lease that was not renewed for so long is taken over. */
const STANDSTILL_MS = 4_000;
/** One that was let go, while a session holds the slot all the same: time enough for a new holder to say so. */
const RELEASED_MS = 2_000;

/** The session that holds the slot of a relay which stands still. */
export interface Standstill {
  readonly pid: number;
  readonly term: Term | undefined;
}

interface Look {
  readonly what: string;
  readonly sinceMs: number;
}

/** Waits until the slot is free, or its reader stands still, or the signal aborts. */
export async function awaitTurn(
  options: TurnOptions,
  signal: AbortSignal,
): Promise<Standstill | 'free' | 'over'> {
  let seen: Look | undefined;
  while (!signal.aborted) {
    const pid = await readerOf(options);
    if (pid === undefined) return 'free';
    await options.onStandby().catch(() => undefined);
    // A control database that cannot be asked says nothing of any lease.
    const latest = await options.terms.latest(options.source).catch(() => 'unknown' as const);
    if (latest === 'unknown') seen = undefined;
    else {
      const what = `${pid} ${latest?.term ?? 0} ${latest?.renewedAt ?? ''}`;
      if (seen?.what !== what) seen = { what, sinceMs: performance.now() };
      const patienceMs = latest?.released ? RELEASED_MS : STANDSTILL_MS;
      if (performance.now() - seen.sinceMs >= patienceMs) return { pid, term: latest };
    }
    await sleep(LOOK_MS, signal);
  }
  return 'over';
}

/** Takes the next term and ends the session of the one before; false when it moves after all. */
export async function takeOver(
  { source, slot, holder, client, terms }: TurnOptions,
  { pid, term }: Standstill,
): Promise<boolean> {
  const before = term === undefined ? 'a reader without a lease' : term.holder;
  const why = `${before} stood still in session ${pid}`;
  if ((await terms.take(source, term, holder, why)) === undefined) return false;
  // Its name and its number both: another session may bear the number by now.
  await client.query(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid = $2`,
    [slot, pid],
  );
  return true;
}

/** Holds the lease until the signal aborts. Throws APPLIER_REPLACED once somebody else has the next term. */
export async function holdTerm(
  { source, holder, terms }: Pick<TurnOptions, 'source' | 'holder' | 'terms'>,
  signal: AbortSignal,
): Promise<void> {
  let own: number | undefined;
  try {
    while (!signal.aborted) {
      // Without the control database the slot is lock enough.
      const held = await hold({ source, holder, terms }, own).catch(() => own);
      if (held === 'lost')
        throw new BanyanError('APPLIER_REPLACED', `another relay of ${source} has taken over`, {
          hint: 'This one stands by from now on.',
        });
      own = held;
      await sleep(RENEW_MS, signal);
    }
  } finally {
    if (own !== undefined) await terms.release(source, own).catch(() => undefined);
  }
}

async function hold(
  { source, holder, terms }: Pick<TurnOptions, 'source' | 'holder' | 'terms'>,
  own: number | undefined,
): Promise<number | 'lost' | undefined> {
  if (own !== undefined) return (await terms.renew(source, own)) ? own : 'lost';
  const latest = await terms.latest(source);
  if (latest?.holder === holder)
    return (await terms.renew(source, latest.term)) ? latest.term : 'lost';
  return terms.take(source, latest, holder, 'the slot was free');
}

async function readerOf({ client, slot }: TurnOptions): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number | null }>(
    'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  return rows[0]?.pid ?? undefined;
}
