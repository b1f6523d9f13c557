// Out of a write canary, as part of a switch (switch-run.ts), with all writes held:
//   close the service → drain sync back → fence the monolith, or let it write alone → drain sync to
// The last only as far as it can be, where the monolith writes on.
//
// The service is closed first, and the monolith goes on judging until it has all that the service wrote.
// So whatever ends the switch before that opens the service again, and the canary goes on; whatever ends
// it later leaves a canary in which the monolith alone writes: it has everything. Which of the two it is
// the monolith's own database says, so that another coordinator can tell.
import type { Owner } from './domain/phase.ts';
import type { FlowPair } from './ends.ts';
import { waitForBarrier } from './replication.ts';
import { endSharing, forgetSharing, isShared, reopenService, type Shared } from './sharing.ts';
import { patiently } from './table-locks.ts';

export interface SharedExitOptions {
  readonly ends: FlowPair;
  readonly definition: Shared;
  /** How long writes may still be held for one of the two flows to drain. */
  readonly leftMs: () => number;
  /** Called once everything that the service wrote is judged. */
  readonly onDrained: () => Promise<void>;
}

const UNDO_TIMEOUT_MS = 60_000;

export class SharedExit {
  readonly #options: SharedExitOptions;

  constructor(options: SharedExitOptions) {
    this.#options = options;
  }

  /** Leaves the right to write to `owner` alone. False when a lock could not be had: all is as it was. */
  async fence(owner: Owner, epoch: number): Promise<boolean> {
    const { ends, definition, leftMs, onDrained } = this.#options;
    const { source: monolith, target: service } = ends.to;
    if (!(await endSharing(service, definition, 'monolith', epoch))) return false;
    await waitForBarrier(ends.back, epoch, leftMs());
    await onDrained();
    if (await endSharing(monolith, definition, owner, epoch)) return true;
    await reopenService(service, definition, epoch);
    return false;
  }

  /** Every answer is at the service, and no change is in flight there; gives the position of that. */
  async settle(epoch: number): Promise<string> {
    const { ends, leftMs } = this.#options;
    const position = await waitForBarrier(ends.to, epoch, leftMs());
    await forgetSharing(ends, epoch);
    return position;
  }

  /** Takes it back, wherever it has come to; gives whether both sides write as before. */
  async undo(epoch: number): Promise<boolean> {
    const { ends, definition } = this.#options;
    const { source: monolith, target: service } = ends.to;
    // From here on nobody of a lower epoch changes anything on either side.
    for (const side of [monolith, service]) await side.guarded(epoch, () => Promise.resolve());
    const goesOn = await isShared(monolith);
    const hint = 'Run the command again; the switch is taken back from here.';
    if (goesOn) await reopenService(service, definition, epoch);
    else
      await patiently(monolith, () => endSharing(monolith, definition, 'monolith', epoch), {
        timeoutMs: UNDO_TIMEOUT_MS,
        what: 'the locks to lift the monolith’s fence again',
        hint,
      });
    return goesOn;
  }
}
