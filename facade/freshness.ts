// How far the flows have come, and what time it is in the control database, for decisions on the hot
// path: looked up a few times a second while some capability has both sides, answered from memory.
// Both answers err to the safe side: a watermark is never ahead of the truth, the time never behind.
import type { Evidence } from '../control/evidence.ts';
import type { Direction } from '../control/domain/flow.ts';
import { sleep } from '../core/lifecycle.ts';

export interface Freshness {
  /** Looks again and again until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** The first look is done. */
  readonly known: Promise<void>;
  /** Milliseconds since the epoch by the control database's clock, or a little more; undefined before the first look. */
  now(): number | undefined;
  /** The moment up to which the flow's target has everything; undefined when that is not known. */
  watermark(capability: string, direction: Direction): number | undefined;
}

export interface FreshnessOptions {
  readonly evidence: Pick<Evidence, 'watermarks'>;
  /** Whether anybody needs to know. */
  readonly isWanted: () => boolean;
  readonly everyMs?: number;
}

/** Far more than the clocks of two machines drift apart between two looks. */
const DRIFT_SHARE = 0.001;

export function createFreshness(options: FreshnessOptions): Freshness {
  const { evidence, isWanted, everyMs = 200 } = options;
  let watermarks: ReadonlyMap<string, number> = new Map();
  /** The database's time, and our own just before it was asked for. */
  let clock: { readonly theirs: number; readonly ours: number } | undefined;
  const known = Promise.withResolvers<undefined>();

  const look = async (): Promise<void> => {
    const ours = performance.now();
    const seen = await evidence.watermarks();
    // Dates are cut to milliseconds.
    clock = { theirs: seen.now.getTime() + 1, ours };
    watermarks = new Map(
      seen.flows.map(({ capability, direction, watermark }) => [
        `${capability} ${direction}`,
        watermark.getTime(),
      ]),
    );
    known.resolve(undefined);
  };

  return {
    run: async (signal) => {
      while (!signal.aborted) {
        // The clock is needed from the first write on. Without the database the last watermarks stay:
        // true still, if not the newest.
        if (clock === undefined || isWanted()) await look().catch(() => undefined);
        await sleep(everyMs, signal);
      }
    },
    known: known.promise,
    now: () => {
      if (!clock) return undefined;
      const passed = performance.now() - clock.ours;
      return Math.ceil(clock.theirs + passed * (1 + DRIFT_SHARE));
    },
    watermark: (capability, direction) => watermarks.get(`${capability} ${direction}`),
  };
}
