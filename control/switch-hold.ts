// The held part of a switch up to its fence: writes are held, every live facade acknowledges, the old owner
// is closed. Neither a lock nor a facade that is busy is waited for with writers held for long: the hold is
// released, and tried again. Only a facade whose lease runs out is left to the fence.
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Owner } from './domain/phase.ts';
import type { FencePlan } from './fence-plan.ts';
import type { Participant } from './participant.ts';
import type { Held } from './replicas.ts';
import type { SharedExit } from './shared-exit.ts';
import type { SwitchRecord } from './switch-log.ts';
import { barriersAt, type SwitchContext, type SwitchProgress } from './switch-progress.ts';
import { patiently } from './table-locks.ts';

const ATTEMPTS = 20;
/** Each of these may hold writers for as long as writes in flight are waited for. */
const BUSY_ATTEMPTS = 3;
const BUSY_PAUSE_MS = 1_000;
const FREE_TIMEOUT_MS = 20_000;

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
  #busyAttempts = 0;
  replicas: Held = { live: [], busy: [], lapsed: [] };
  readonly #context: SwitchContext;
  readonly #progress: SwitchProgress;
  /** Another coordinator's, which has died. */
  readonly #recovered: SwitchRecord | undefined;
  /** Replicas that have been live while writers were held. */
  readonly #heard = new Set<string>();

  constructor(context: SwitchContext, progress: SwitchProgress) {
    this.#context = context;
    this.#progress = progress;
    this.#recovered = progress.record;
    this.fenceTouched = progress.record !== undefined;
  }

  /** How long writers have been held by now. */
  async heldForMs(): Promise<number> {
    const since = performance.now() - this.heldAt;
    if (!this.#recovered) return since;
    return (await this.#context.switches.heldForMs(this.#recovered)) ?? since;
  }

  /** How long writers may still be held before the flip: facades would refuse them soon after. */
  leftMs(): number {
    return Math.max(0, this.heldAt + this.#context.limits.flipMs - performance.now());
  }

  /** Throws TIMED_OUT where that is over: who has been refused must not find a switch that went through. */
  assertInTime(): void {
    if (this.leftMs() > 0) return;
    const { flipMs } = this.#context.limits;
    throw new BanyanError('TIMED_OUT', `writes had been held for ${flipMs} ms before the flip`, {
      hint: 'The journal tells which step took so long. Try again, or raise facade.hold.timeoutMs.',
    });
  }

  /** Returns with writers held and the old owner closed. Throws TIMED_OUT. */
  async close(closing: Closing, planned: FencePlan | undefined): Promise<void> {
    const progress = this.#progress;
    let plan = planned;
    for (this.attempts = 1; ; this.attempts++) {
      progress.assertWanted();
      this.heldAt = performance.now();
      await progress.change({ holding: true }, { event: 'hold' });
      const busy = await this.#busy(closing);
      if (busy.length > 0) {
        await this.#release(closing, `writes in flight at ${busy.join(', ')}`);
        if (++this.#busyAttempts >= BUSY_ATTEMPTS)
          throw stillBusy(busy, this.#context.limits.acknowledgeMs);
        await sleep(BUSY_PAUSE_MS * this.#busyAttempts);
      } else {
        await progress.done('held', {
          replicas: this.replicas.live,
          leftBehind: this.replicas.lapsed,
          version: progress.state.version,
        });
        this.fenceTouched = true;
        if (await this.#isClosed(closing, plan)) break;
        this.fenceTouched = false;
        await this.#release(closing, 'a lock could not be had');
        if (this.attempts >= ATTEMPTS) throw await inTheWay(closing.previous);
        await sleep(100 + 50 * this.attempts);
        await this.#free(closing.previous);
      }
      await this.#context.replicas.steady();
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

  /** Writers go on meanwhile. */
  async #release({ exit }: Closing, why: string): Promise<void> {
    const { epoch } = this.#progress.state;
    await this.#progress.change(
      // The barrier of the next attempt is not that of this one.
      { holding: false, ...(exit && { epoch: epoch + 1 }) },
      { event: 'unhold', why },
    );
  }

  /** Whoever stays at the tables is waited for with nobody held. Throws TIMED_OUT, INTERRUPTED. */
  async #free(previous: Participant | undefined): Promise<void> {
    const isFree = (): Promise<boolean> => Promise.resolve(true);
    if (previous)
      await patiently(previous, isFree, {
        ...{ timeoutMs: FREE_TIMEOUT_MS, what: 'the tables to be free' },
        assertWanted: () => {
          this.#progress.assertWanted();
        },
      });
  }

  /** Live replicas that have not let their writes in flight finish in time. Throws TIMED_OUT where no fence stops one that is lost. */
  async #busy(closing: Closing): Promise<readonly string[]> {
    const { replicas, limits, ends } = this.#context;
    const { capability, version } = this.#progress.state;
    this.replicas = await replicas.held(capability, version, limits, this.#heard);
    const { busy, lapsed } = this.replicas;
    if (!ends && lapsed.length > 0) {
      await this.#release(closing, `nothing is heard of ${lapsed.join(', ')}`);
      throw new BanyanError('TIMED_OUT', `nothing is heard of ${lapsed.join(', ')}`, {
        hint: 'Without tables there is no fence to stop what they still forward. End those facades, and try again.',
      });
    }
    return busy;
  }
}

function stillBusy(busy: readonly string[], afterMs: number): BanyanError {
  return new BanyanError(
    'TIMED_OUT',
    `writes were still in flight at ${busy.join(', ')} after ${afterMs} ms, ${BUSY_ATTEMPTS} times`,
    {
      hint: 'Try again when no upload or other long write runs, or raise facade.hold.timeoutMs: two fifths of it are for writes in flight.',
    },
  );
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
