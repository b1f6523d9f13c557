// Tells when the service has everything that was written up to now: the watermark of the capability's
// flow `to`, in the control database's clock, has passed the moment of asking. One poll per
// capability serves all who wait; a control database that does not answer counts as not synced.
import type { Evidence } from '../control/evidence.ts';
import { sleep } from '../core/lifecycle.ts';

export interface SyncClock {
  /** True once the watermark has passed the moment of this call; false when it did not in time. */
  caughtUp(capability: string): Promise<boolean>;
}

export interface SyncClockOptions {
  readonly evidence: Pick<Evidence, 'now' | 'flows'>;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
  /** How long one of this capability may take. */
  readonly timeoutMs: (capability: string) => number;
}

interface Waiter {
  /** Milliseconds since the epoch, by the control database; read a little later than asked, which is safe. */
  moment: number | undefined;
  readonly deadline: number;
  readonly resolve: (caughtUp: boolean) => void;
}

export function createSyncClock(options: SyncClockOptions): SyncClock {
  const { evidence, signal, pollMs = 200, timeoutMs } = options;
  const polls = new Map<string, Set<Waiter>>();

  const look = async (capability: string, waiters: Set<Waiter>): Promise<void> => {
    const watermark = await readWatermark(capability, waiters).catch(() => undefined);
    for (const waiter of waiters) {
      const passed =
        watermark !== undefined && waiter.moment !== undefined && watermark > waiter.moment;
      if (!passed && performance.now() < waiter.deadline && !signal.aborted) continue;
      waiters.delete(waiter);
      waiter.resolve(passed);
    }
  };

  const readWatermark = async (
    capability: string,
    waiters: Set<Waiter>,
  ): Promise<number | undefined> => {
    const fresh = [...waiters].filter((waiter) => waiter.moment === undefined);
    if (fresh.length > 0) {
      const now = (await evidence.now()).getTime();
      for (const waiter of fresh) waiter.moment = now;
    }
    const flow = (await evidence.flows(capability)).find((one) => one.direction === 'to');
    const watermark = flow?.watermark ?? undefined;
    return watermark === undefined ? undefined : Date.parse(watermark);
  };

  const poll = async (capability: string, waiters: Set<Waiter>): Promise<void> => {
    while (waiters.size > 0) {
      await look(capability, waiters);
      if (waiters.size > 0) await sleep(pollMs, signal);
    }
    polls.delete(capability);
  };

  return {
    caughtUp: (capability) =>
      new Promise((resolve) => {
        const waiter = {
          moment: undefined,
          deadline: performance.now() + timeoutMs(capability),
          resolve,
        };
        const waiters = polls.get(capability);
        if (waiters) {
          waiters.add(waiter);
          return;
        }
        const first = new Set<Waiter>([waiter]);
        polls.set(capability, first);
        void poll(capability, first);
      }),
  };
}
