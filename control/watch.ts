// Follows the control state: LISTEN for speed, polling for certainty. Losing the control database
// changes nothing but freshness: the last known states stay, and the watcher keeps trying.
import pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import { clientConfig } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import type { Logger } from '../core/log.ts';
import type { CapabilityState } from './domain/state.ts';
import type { StateStore } from './store.ts';
import { messageOf } from '../core/errors.ts';

export interface WatchOptions {
  readonly url: string;
  readonly store: StateStore;
  readonly capabilities: readonly string[];
  readonly pollMs?: number;
  readonly log: Logger;
  /** Called once at the start and whenever a version has changed; awaited before the next look. */
  readonly onChange: (states: ReadonlyMap<string, CapabilityState>) => void | Promise<void>;
}

/** Runs until the signal aborts. */
export async function watchStates(options: WatchOptions, signal: AbortSignal): Promise<void> {
  let wake = new AbortController();
  const nudge = (): void => {
    wake.abort();
  };
  signal.addEventListener('abort', nudge);
  const listener = keepListening(options, nudge, signal);
  let seen = '';
  while (!signal.aborted) {
    wake = new AbortController();
    try {
      const states = await options.store.read(options.capabilities);
      const versions = [...states.values()].map((state) => state.version).join(',');
      if (versions !== seen) {
        await options.onChange(states);
        seen = versions;
      }
    } catch (error) {
      options.log.warn('the control state could not be read; the last known one stays', {
        error: messageOf(error),
      });
    }
    await sleep(options.pollMs ?? 1_000, wake.signal);
  }
  signal.removeEventListener('abort', nudge);
  await listener;
}

/** Holds a LISTEN connection open and calls `nudge` at each notification and each (re)connection. */
async function keepListening(
  options: WatchOptions,
  nudge: () => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const client = new pg.Client(clientConfig(options.url, { applicationName: 'banyan-watch' }));
    const lost = new AbortController();
    const onAbort = (): void => {
      lost.abort();
    };
    signal.addEventListener('abort', onAbort);
    try {
      client.on('error', onAbort);
      client.on('end', onAbort);
      client.on('notification', nudge);
      await client.connect();
      await client.query('LISTEN banyan_state');
      nudge();
      while (!lost.signal.aborted) await sleep(60_000, lost.signal);
    } catch (error) {
      options.log.debug('listening failed; polling goes on', { error: messageOf(error) });
    } finally {
      signal.removeEventListener('abort', onAbort);
      await disconnect(client);
    }
    await sleep(500, signal);
  }
}
