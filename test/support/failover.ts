// A server and a standby that follows it, logical slots included, behind one address: what is left of the
// primary's last commits when the standby takes its place is the test's to choose.
import { waitFor } from '../../core/lifecycle.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { withEnds } from '../../control/ends.ts';
import { RelayReports } from '../../control/relay-reports.ts';
import { recopy } from '../../sync/recopy.ts';
import { SESSION, type Pair } from './pair.ts';
import { startProxy, type Proxy } from './proxy.ts';
import { ownServer, standbyOf, type OwnServer } from './servers.ts';

export interface Replicated {
  readonly primary: OwnServer;
  readonly standby: OwnServer;
  /** In front of whichever serves. */
  readonly proxy: Proxy;
  /** Superuser URL by way of the proxy. */
  readonly url: string;
  /** Waits until the standby has a copy of the slot that it keeps. */
  slotIsCopied(): Promise<void>;
  /** From here on the standby gets nothing of what the primary commits. */
  fallBehind(): Promise<void>;
  /** kill -9 for the primary; the standby serves in its place, with what it has; `before` anybody is led to it. */
  failOver(before?: () => Promise<void>): Promise<void>;
  remove(): Promise<void>;
}

export async function openReplicated(): Promise<Replicated> {
  const primary = await ownServer();
  await primary.start();
  await ask(primary.url(), `SELECT pg_create_physical_replication_slot('standby', true)`);
  await primary.stop();
  const standby = await standbyOf(primary, 'standby');
  await primary.start();
  await standby.start();
  const proxy = await startProxy(primary.port);
  let isBehind = false;
  return {
    ...{ primary, standby, proxy, url: proxy.through(primary.url()) },
    slotIsCopied: async () => {
      await waitFor(
        async () => {
          // What the primary does every 15 seconds by itself: the slot moves on to where the standby can keep it.
          await ask(primary.url(), 'SELECT pg_log_standby_snapshot()');
          const copied = await ask(
            standby.url(),
            `SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'banyan%' AND synced AND NOT temporary`,
          );
          return copied.length === 1;
        },
        { timeoutMs: 90_000, everyMs: 100, what: 'the standby to copy the slot' },
      );
    },
    fallBehind: async () => {
      await standby.stop();
      isBehind = true;
    },
    failOver: async (before) => {
      await primary.kill();
      if (isBehind) await standby.start();
      await ask(standby.url(), 'SELECT pg_promote()');
      await before?.();
      proxy.lead(standby.port);
    },
    remove: async () => {
      await proxy.close();
      await primary.remove();
      await standby.remove();
    },
  };
}

/** The rows of one statement, on a session of its own. */
export async function ask<T extends object>(url: string, text: string): Promise<T[]> {
  return withClient(url, SESSION, async (client) => (await client.query<T>(text)).rows);
}

/** As `banyan sync recopy` does it; gives the directions that it has begun anew. */
export async function recopied(pair: Pair): Promise<unknown> {
  const definition = pair.migration.capabilities['catalog'];
  if (!definition) throw new Error('no definition');
  return withEnds(
    { ...pair.migration, connections: pair.connections },
    'catalog',
    definition,
    async (ends) => ends && recopy(ends, new RelayReports(pair.db)),
  );
}
