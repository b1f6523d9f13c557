// The held part of a switch up to its fence: writes are held, every live facade acknowledges, the old owner
// is closed. While a lock waits, every writer behind it waits too, so between attempts the hold is released.
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Owner } from './domain/phase.ts';
import type { FencePlan } from './fence-plan.ts';
import type { Participant } from './participant.ts';
import type { Acknowledged } from './replicas.ts';
import type { SharedExit } from './shared-exit.ts';
import { barriersAt, type SwitchContext, type SwitchProgress } from './switch-progress.ts';

const ACKNOWLEDGE_TIMEOUT_MS = 4_000;
const ATTEMPTS = 20;

export interface Closing {
  /** Who writes from here on. */
  readonly owner: Owner;
  /** The side that is closed; none without tables. */
  readonly previous: Participant | undefined;
  readonly next: Participant | undefined;
  /** Where it ends a write canary. */
  readonly exit: SharedExit | undefined;
  /** Works the fence out anew, where it is planned ahead. */
  readonly planned: () => Promise<FencePlan | undefined>;
}

export class SwitchHold {
  /** When writers were held last. */
  heldAt = performance.now();
  /** Whether the old owner's fence may stand already; a recovered switch cannot know. */
  fenceTouched: boolean;
  attempts = 0;
  replicas: Acknowledged = { live: [], silent: [] };
  readonly #context: SwitchContext;
  readonly #progress: SwitchProgress;

  constructor(context: SwitchContext, progress: SwitchProgress) {
    this.#context = context;
    this.#progress = progress;
    this.fenceTouched = progress.record !== undefined;
  }

  /** Returns with writers held and the old owner closed. Throws TIMED_OUT. */
  async close(closing: Closing, planned: FencePlan | undefined): Promise<void> {
    const progress = this.#progress;
    let plan = planned;
    for (this.attempts = 1; ; this.attempts++) {
      this.heldAt = performance.now();
      await progress.change({ holding: true }, { event: 'hold' });
      await this.#acknowledged();
      await progress.done('held', {
        replicas: this.replicas.live,
        leftBehind: this.replicas.silent,
        version: progress.state.version,
      });
      this.fenceTouched = true;
      if (await this.#isClosed(closing, plan)) break;
      this.fenceTouched = false;
      await progress.change(
        // The barrier of the next attempt is not that of this one.
        { holding: false, ...(closing.exit && { epoch: progress.state.epoch + 1 }) },
        { event: 'unhold', why: 'a lock could not be had' },
      );
      if (this.attempts >= ATTEMPTS) throw await inTheWay(closing.previous);
      await sleep(100 + 50 * this.attempts);
      plan = await closing.planned();
    }
    const { previous, next, exit } = closing;
    const told = exit ? [previous, next] : [previous];
    await progress.done('fenced', {
      attempts: this.attempts,
      barriers: barriersAt(...told.filter((side) => side !== undefined)),
    });
  }

  /** False when a lock could not be had. */
  async #isClosed(
    { owner, previous, exit }: Closing,
    plan: FencePlan | undefined,
  ): Promise<boolean> {
    if (!previous) return true;
    const { epoch } = this.#progress.state;
    if (exit) return exit.fence(owner, epoch);
    return plan ? previous.fenceAs(owner, plan, epoch) : previous.fence(owner, epoch);
  }

  /** Every live replica has let its writes in flight finish; one that stays silent is left to the fence. */
  async #acknowledged(): Promise<void> {
    const { replicas, ends } = this.#context;
    const { capability, version } = this.#progress.state;
    this.replicas = await replicas.acknowledged(capability, version, ACKNOWLEDGE_TIMEOUT_MS);
    const { silent } = this.replicas;
    if (silent.length > 0 && !ends)
      throw new BanyanError(
        'TIMED_OUT',
        `replicas did not acknowledge the hold: ${silent.join(', ')}`,
        {
          hint: 'Without tables there is no fence to stop them; end those facades or restore their control database.',
        },
      );
  }
}

async function inTheWay(previous: Participant | undefined): Promise<BanyanError> {
  const blockers = (await previous?.blockers(0)) ?? [];
  return new BanyanError('TIMED_OUT', `the tables could not be locked in ${ATTEMPTS} attempts`, {
    hint:
      blockers.length > 0
        ? `In the way: ${blockers.join('; ')}`
        : 'Try again when fewer long transactions run.',
  });
}
