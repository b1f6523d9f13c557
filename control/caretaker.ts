// Looks after moves whose coordinator died: undoes or finishes a switch, so that held writes do not
// wait for a human, removes what a move that was cut short has left in the databases, keeps our schema there
// up to date, and closes what a fence has lost. Runs beside sync, which holds the coordinator's logins; never in a facade. A capability
// whose databases are slow or gone keeps no other one waiting.
import { isBanyanError, messageOf } from '../core/errors.ts';
import { sleep, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { Coordinator } from './coordinator.ts';
import type { StateStore } from './store.ts';

const LOOK_MS = 1_000;
/** Capabilities that are looked at at once: each takes connections of its own. */
const LANES = 4;
/** Between two looks at the fences. */
const FENCES_MS = 15_000;
/** The same where a lock could not be had. */
const FENCES_AGAIN_MS = 2_000;
/** Between two looks for what one that woke up late may have left, although nothing has moved. */
const TIDY_AGAIN_MS = 60_000;

export interface CaretakerOptions {
  readonly coordinator: Coordinator;
  readonly store: StateStore;
  readonly capabilities: readonly string[];
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly fencesMs?: number;
  readonly tidyAgainMs?: number;
}

export function caretakerPart({
  coordinator,
  store,
  capabilities,
  log,
  fencesMs = FENCES_MS,
  tidyAgainMs = TIDY_AGAIN_MS,
}: CaretakerOptions): Part {
  /** When fences are looked at next. */
  const fences = new Map<string, number>();
  /** The version of each state that has been tidied up to, and when. */
  const tidied = new Map<string, { readonly version: number; readonly at: number }>();

  const tidy = async (capability: string, version: number): Promise<void> => {
    const last = tidied.get(capability);
    if (last?.version === version && performance.now() < last.at + tidyAgainMs) return;
    if (await coordinator.tidy(capability))
      log.warn('removed what a move that was cut short had left', { capability });
    tidied.set(capability, { version, at: performance.now() });
  };

  /** Whose schemas are at their newest. A flow that starts sees to that; one that is paused does not start. */
  const current = new Set<string>();

  const keepUpToDate = async (capability: string): Promise<void> => {
    if (current.has(capability)) return;
    try {
      await coordinator.keepUpToDate(capability);
      current.add(capability);
    } catch (error) {
      // Its fences are looked at all the same.
      log.warn('the schema banyan could not be brought up to date; it is tried again', {
        ...{ capability, error: messageOf(error) },
      });
    }
  };

  const mend = async (capability: string): Promise<void> => {
    if (performance.now() < (fences.get(capability) ?? 0)) return;
    await keepUpToDate(capability);
    const all = await coordinator.mendFences(capability);
    const [partitions, restored] = [
      all.flatMap((one) => one.partitions),
      all.flatMap((one) => one.restored),
    ];
    const [waiting, blockers] = [
      all.flatMap((one) => one.waiting),
      all.flatMap((one) => one.blockers),
    ];
    if (partitions.length > 0) log.info('fenced new partitions', { capability, partitions });
    if (restored.length > 0)
      log.warn('a fence had been changed by somebody, and stands again', {
        capability,
        tables: restored,
      });
    if (waiting.length > 0)
      log.warn('a fence has a gap: the lock to close it could not be had; it is tried again', {
        capability,
        tables: waiting,
        blockers,
      });
    fences.set(capability, performance.now() + (waiting.length > 0 ? FENCES_AGAIN_MS : fencesMs));
  };

  const look = async (capability: string): Promise<void> => {
    if (await coordinator.recover(capability))
      log.warn('took over a switch whose coordinator had died', { capability });
    const { version, phase } = await store.readOne(capability);
    await tidy(capability, version);
    if (phase !== 'monolith') await mend(capability);
  };

  return {
    name: 'caretaker',
    run: async (signal, ready) => {
      ready();
      const queue = capabilities.map((capability) => ({ capability, at: 0 }));
      const lane = async (): Promise<void> => {
        for (let next = queue.shift(); next; next = queue.shift()) {
          const { capability, at } = next;
          await sleep(Math.max(0, at - performance.now()), signal);
          if (signal.aborted) return;
          await look(capability).catch((error: unknown) => {
            // A live coordinator is at it; anything else is tried again.
            if (!isBanyanError(error, 'MOVE_IN_PROGRESS'))
              log.error('a capability could not be looked after', {
                capability,
                error: messageOf(error),
              });
          });
          queue.push({ capability, at: performance.now() + LOOK_MS });
        }
      };
      await Promise.all(Array.from({ length: Math.min(LANES, capabilities.length) }, lane));
    },
  };
}
