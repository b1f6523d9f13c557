// Looks after moves whose coordinator died: undoes or finishes a switch, so that held writes do not
// wait for a human, removes what a move that was cut short has left in the databases, and fences
// partitions that have come to a fenced table. Runs beside sync, which holds the coordinator's logins; never in a facade.
import { isBanyanError, messageOf } from '../core/errors.ts';
import { sleep, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { Coordinator } from './coordinator.ts';
import type { StateStore } from './store.ts';

const LOOK_MS = 1_000;
/** Between two looks for partitions that have come to a fenced table. */
const PARTITIONS_MS = 15_000;

export interface CaretakerOptions {
  readonly coordinator: Coordinator;
  readonly store: StateStore;
  readonly capabilities: readonly string[];
  readonly log: Logger;
  readonly partitionsMs?: number;
}

export function caretakerPart({
  coordinator,
  store,
  capabilities,
  log,
  partitionsMs = PARTITIONS_MS,
}: CaretakerOptions): Part {
  /** When partitions were last looked for. */
  const covered = new Map<string, number>();
  /** The version of each state that has been tidied up to. */
  const tidied = new Map<string, number>();

  const look = async (capability: string): Promise<void> => {
    if (await coordinator.recover(capability))
      log.warn('took over a switch whose coordinator had died', { capability });
    const { version, phase } = await store.readOne(capability);
    if (tidied.get(capability) !== version) {
      if (await coordinator.tidy(capability))
        log.warn('removed what a move that was cut short had left', { capability });
      tidied.set(capability, version);
    }
    if (phase === 'monolith' || performance.now() < (covered.get(capability) ?? 0) + partitionsMs)
      return;
    const partitions = await coordinator.coverPartitions(capability);
    if (partitions.length > 0) log.info('fenced new partitions', { capability, partitions });
    covered.set(capability, performance.now());
  };

  return {
    name: 'caretaker',
    run: async (signal, ready) => {
      ready();
      while (!signal.aborted) {
        for (const capability of capabilities)
          await look(capability).catch((error: unknown) => {
            // A live coordinator is at it; anything else is tried again.
            if (!isBanyanError(error, 'MOVE_IN_PROGRESS'))
              log.error('a capability could not be looked after', {
                capability,
                error: messageOf(error),
              });
          });
        await sleep(LOOK_MS, signal);
      }
    },
  };
}
