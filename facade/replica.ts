// This process as the control database knows it. The order is the promise: it registers and has
// committed, and only then reads the states; so a coordinator that writes a state and then lists
// the replicas misses none. Acknowledgements are kept until they are stored. Without the database
// everything goes on with the last known states, and the lease runs out.
import type { Knex } from 'knex';
import type { CapabilityState } from '../control/domain/state.ts';
import { REPLICA_LEASE_MS, Replicas } from '../control/replicas.ts';
import { StateStore } from '../control/store.ts';
import { watchStates } from '../control/watch.ts';
import { messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';

export interface ReplicaOptions {
  readonly id: string;
  readonly control: Knex;
  /** For the LISTEN connection. */
  readonly controlUrl: string;
  readonly capabilities: readonly string[];
  readonly log: Logger;
  readonly onStates: (states: ReadonlyMap<string, CapabilityState>) => void;
}

export interface Replica {
  /** Registers, follows the states until `signal` aborts, then leaves. */
  run(signal: AbortSignal): Promise<void>;
  /** Says that nothing accepted under a state older than `version` is still to be forwarded. */
  acknowledge(capability: string, version: number): void;
  /**
   * Has coordinators wait for this replica again, and then tells whether another one still has writes in
   * flight that are older than `version`. False when that cannot be said for sure.
   */
  withdraw(capability: string, version: number, other: string): Promise<boolean>;
  /** Whether coordinators still wait for this replica. */
  leaseValid(): boolean;
  /** Milliseconds since the last heartbeat that was stored; undefined before the first. */
  heartbeatAgeMs(): number | undefined;
}

const HEARTBEAT_MS = 1_000;
const RETRY_MS = 250;

export function createReplica(options: ReplicaOptions): Replica {
  const { id, control, log } = options;
  const replicas = new Replicas(control);
  const store = new StateStore(control);
  const newest = new Map<string, CapabilityState>();
  const unsaid = new Map<string, number>();
  let lastBeat: number | undefined;
  let saying: Promise<void> | undefined;

  /** States only ever go forward, whichever of two reads ends first. */
  const take = (states: ReadonlyMap<string, CapabilityState>): void => {
    for (const [capability, state] of states) {
      const before = newest.get(capability);
      if (before && state.version < before.version) continue;
      newest.set(capability, state);
      if (before && (before.phase !== state.phase || before.weight !== state.weight))
        log.info('the capability has moved', {
          capability,
          from: before.phase,
          to: state.phase,
          weight: state.weight,
        });
    }
    options.onStates(new Map(newest));
  };

  const beat = async (): Promise<boolean> => {
    // Counted from before the statement: the database's own count may only begin later.
    const began = performance.now();
    try {
      await replicas.heartbeat(id);
      // A lease that has lapsed, be it while this was on its way, is worth nothing before the states have been
      // read again: a switch may have gone by without us.
      if (lastBeat !== undefined && performance.now() - lastBeat >= REPLICA_LEASE_MS)
        take(await store.read(options.capabilities));
      lastBeat = began;
      return true;
    } catch (error) {
      log.warn('the control database does not take the heartbeat', { error: messageOf(error) });
      return false;
    }
  };

  /** Stores what is to be acknowledged, one by one; false when it failed and waits for the next beat. */
  const say = async (): Promise<boolean> => {
    for (;;) {
      const next = unsaid.entries().next();
      if (next.done) return true;
      const [capability, version] = next.value;
      try {
        await replicas.acknowledge(id, capability, version);
      } catch (error) {
        log.warn('an acknowledgement could not be stored; it is repeated', {
          error: messageOf(error),
        });
        return false;
      }
      // A newer version may have come while this one was stored.
      if (unsaid.get(capability) === version) unsaid.delete(capability);
    }
  };
  const sayAll = (): void => {
    if (saying || lastBeat === undefined) return;
    saying = say().then((all) => {
      saying = undefined;
      if (all && unsaid.size > 0) sayAll();
    });
  };

  const keepBeating = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      if (await beat()) sayAll();
      await sleep(HEARTBEAT_MS, signal);
    }
  };

  return {
    run: async (signal) => {
      while (!signal.aborted && !(await beat())) await sleep(RETRY_MS, signal);
      if (signal.aborted) return;
      await Promise.all([
        keepBeating(signal),
        watchStates(
          {
            url: options.controlUrl,
            store,
            capabilities: options.capabilities,
            log,
            onChange: take,
          },
          signal,
        ),
      ]);
      await saying;
      // From here on coordinators do not wait for it.
      lastBeat = undefined;
      await replicas.leave(id).catch((error: unknown) => {
        log.warn('could not sign off; the lease will run out', { error: messageOf(error) });
      });
    },
    acknowledge: (capability, version) => {
      unsaid.set(capability, Math.max(version, unsaid.get(capability) ?? 0));
      sayAll();
    },
    withdraw: async (capability, version, other) => {
      unsaid.delete(capability);
      while (saying) await saying;
      return replicas.withdraw(id, capability, version, other).catch(() => false);
    },
    leaseValid: () => lastBeat !== undefined && performance.now() - lastBeat < REPLICA_LEASE_MS,
    heartbeatAgeMs: () => (lastBeat === undefined ? undefined : performance.now() - lastBeat),
  };
}
