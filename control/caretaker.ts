// Looks after switches whose coordinator died: takes over, undoes or finishes, so that held writes do
// not wait for a human. Runs beside sync, which holds the coordinator's logins; never in a facade.
import { isBanyanError, messageOf } from '../core/errors.ts';
import { sleep, type Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { Coordinator } from './coordinator.ts';

const LOOK_MS = 1_000;

export function caretakerPart(
  coordinator: Coordinator,
  capabilities: readonly string[],
  log: Logger,
): Part {
  return {
    name: 'caretaker',
    run: async (signal, ready) => {
      ready();
      while (!signal.aborted) {
        for (const capability of capabilities)
          try {
            if (await coordinator.recover(capability))
              log.warn('took over a switch whose coordinator had died', { capability });
          } catch (error) {
            // A live coordinator is at it; anything else is tried again.
            if (!isBanyanError(error, 'MOVE_IN_PROGRESS'))
              log.error('a switch could not be recovered', { capability, error: messageOf(error) });
          }
        await sleep(LOOK_MS, signal);
      }
    },
  };
}
