// One switch under way: its steps forward, the steps back, and what is known of it meanwhile.
import { BanyanError, isBanyanError } from '../core/errors.ts';
import type { TableMap } from './definition.ts';
import type { BlockerPolicy, PlannedMove } from './domain/move.ts';
import { ownerOf, type Owner, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FencePlan } from './fence-plan.ts';
import type { Participant } from './participant.ts';
import { waitForBarrier, type FlowEnds } from './replication.ts';
import { SharedExit } from './shared-exit.ts';
import {
  findSequences,
  raiseSequences,
  scanned,
  type SequencePlan,
  type SequenceStep,
} from './sequences.ts';
import { assertRaisable } from './sequence-rights.ts';
import { SwitchHold } from './switch-hold.ts';
import type { SwitchRecord } from './switch-log.ts';
import {
  barriersAt,
  SwitchProgress,
  type SwitchContext,
  type SwitchOutcome,
} from './switch-progress.ts';
import { patiently } from './table-locks.ts';
import { unblock } from './unblock.ts';

/** Once writers must wait for it, whether they are held or not. */
const LOCKS_TIMEOUT_MS = 60_000;

interface Sides {
  /** The one that must drain: from the owner that is left to the one that comes. */
  readonly flow: FlowEnds;
  readonly previous: Participant;
  readonly next: Participant;
}

/** Found before anybody is held. Throws PREFLIGHT_FAILED. */
async function raisable(
  tables: readonly TableMap[],
  { next, previous }: Sides,
): Promise<SequencePlan[]> {
  const plans = await findSequences(tables, next, previous);
  await assertRaisable(plans, next, previous);
  return scanned(plans, next, previous);
}

export class SwitchRun {
  flipped = false;
  readonly #context: SwitchContext;
  readonly #to: Phase;
  readonly #weight: number;
  readonly #blockers: BlockerPolicy;
  readonly #progress: SwitchProgress;
  readonly #hold: SwitchHold;
  /** Leaving a write canary backwards does not. */
  readonly #changesOwner: boolean;
  #sequences: SequenceStep[] = [];
  /** Whether the new owner may write already. */
  #isOpen = false;
  /** Where it ends a write canary. */
  readonly #exit: SharedExit | undefined;

  constructor(
    context: SwitchContext,
    state: CapabilityState,
    { to, weight, entry, blockers = 'refuse' }: PlannedMove,
    record?: SwitchRecord,
  ) {
    this.#context = context;
    this.#to = to;
    this.#weight = weight;
    this.#blockers = blockers;
    this.#progress = new SwitchProgress(context, state, entry, record);
    this.#hold = new SwitchHold(context, this.#progress);
    this.#changesOwner = ownerOf(record?.from ?? state.phase) !== ownerOf(to);
    const { ends, definition } = context;
    if (ends && state.shared)
      this.#exit = new SharedExit({
        ...{ ends, definition, leftMs: () => this.#drainMs() / 2 },
        onDrained: () => this.#progress.done('drained back'),
      });
  }

  async forward(): Promise<SwitchOutcome> {
    const { definition } = this.#context;
    const progress = this.#progress;
    await progress.begin(this.#to, this.#weight);
    const sides = this.#sides();
    const ended = sides ? await this.#unblocked(sides) : [];
    const sequences = sides && this.#changesOwner ? await raisable(definition.tables, sides) : [];
    await progress.done('checked', ended.length > 0 ? { ended } : {});
    await this.#context.replicas.steady();
    // Read before anybody is held, and as late as that.
    const plans = {
      close: await this.#planned(sides?.previous),
      open: await this.#planned(sides?.next),
    };
    const planned = (): Promise<FencePlan | undefined> => this.#planned(sides?.previous);
    await this.#hold.close(
      {
        ...{ owner: this.#nextOwner(), exit: this.#exit, planned },
        ...{ previous: sides?.previous, next: sides?.next },
      },
      plans.close,
    );
    if (sides) {
      const { epoch } = progress.state;
      const drained = this.#exit
        ? await this.#settled(this.#exit, epoch)
        : { position: await waitForBarrier(sides.flow, epoch, this.#drainMs()) };
      await progress.done('drained', drained);
      this.#sequences = await raiseSequences(sequences, sides.next, sides.previous, epoch);
      await progress.done('sequences', { sequences: this.#sequences });
    }
    await this.#handOver(plans.open);
    return this.finish();
  }

  /** It is taken back at its next step, where it can be. */
  interrupt(): void {
    this.#progress.interrupt();
  }

  /** Whether the flip was committed although its answer was lost. */
  async flippedUnseen(): Promise<boolean> {
    const { state } = this.#progress;
    const current = await this.#context.store.settled(state.capability);
    const { epoch, phase, shared } = current;
    if (epoch !== state.epoch || phase !== this.#to || shared) return false;
    this.#progress.state = current;
    return true;
  }

  /** What remains after the flip: the new owner may write, then the facades let go. */
  async finish(): Promise<SwitchOutcome> {
    this.flipped = true;
    const progress = this.#progress;
    const sides = this.#sides();
    const [owner, { epoch }] = [this.#nextOwner(), progress.state];
    // Who wrote all along has no fence to be lifted.
    if (sides && this.#changesOwner && !this.#isOpen && !(await sides.next.owns(epoch)))
      await patiently(sides.next, () => sides.next.fence(owner, epoch), {
        timeoutMs: LOCKS_TIMEOUT_MS,
        what: 'the locks to lift the new owner’s fence',
        hint: 'Once they have ended, run the command again; the switch goes on from here.',
      });
    await progress.done(
      'unfenced',
      sides && this.#changesOwner ? { barriers: barriersAt(sides.next) } : {},
    );
    const pauseMs = Math.round(await this.#hold.heldForMs());
    const { attempts, replicas } = this.#hold;
    const evidence = {
      pauseMs,
      attempts,
      replicas: replicas.live,
      leftBehind: replicas.lapsed,
      sequences: this.#sequences,
      steps: progress.steps,
    };
    await progress.change({ holding: false }, { event: 'release', evidence });
    await progress.done('released', { pauseMs, version: progress.state.version });
    if (progress.record) await this.#context.switches.setStatus(progress.record, 'done');
    return { state: progress.state, evidence };
  }

  /** Back to where it was: the old owner writes, held writes go to it. Throws STALE_COORDINATOR when another has taken over. */
  async undo(why: string): Promise<CapabilityState> {
    const { store, switches, log } = this.#context;
    const progress = this.#progress;
    const { capability, epoch } = progress.state;
    log.warn('a switch is taken back', { capability, why });
    // The state may have moved under a crash: what counts is the row as it stands, with no flip in doubt.
    const current = await store.settled(capability);
    if (current.epoch !== epoch)
      throw new BanyanError(
        'STALE_COORDINATOR',
        `another coordinator (epoch ${current.epoch}) has taken over from this one (epoch ${epoch}): ${why}`,
        { hint: 'Look at `banyan status`.' },
      );
    progress.state = current;
    const sides = this.#sides();
    const { fenceTouched } = this.#hold;
    const goesOn = !this.#exit || !fenceTouched || (await this.#exit.undo(current.epoch));
    // A fence that was never made needs no lock to be lifted.
    if (sides && fenceTouched && !this.#exit && !(await sides.previous.owns(current.epoch))) {
      const { previous } = sides;
      await patiently(previous, () => previous.fence(ownerOf(current.phase), current.epoch), {
        timeoutMs: LOCKS_TIMEOUT_MS,
        what: 'the locks to lift the old owner’s fence again',
        hint: 'Once they have ended, run the command again; the switch is taken back from here.',
      });
    }
    await progress.change(
      goesOn ? { holding: false } : { holding: false, shared: false, weight: 0 },
      { event: 'undo', why, evidence: {} },
    );
    if (progress.record) {
      const { epoch: at, version } = progress.state;
      await switches.step(progress.record, 'undone', at, { why, version });
      await switches.setStatus(progress.record, 'undone');
    }
    return progress.state;
  }

  /** Gives whom it has ended. Throws GATE_REFUSED: nobody has been held so far. */
  #unblocked({ previous, next }: Sides): Promise<string[]> {
    const { log } = this.#context;
    const assertWanted = (): void => {
      this.#progress.assertWanted();
    };
    return unblock({ sides: [previous, next], policy: this.#blockers, log, assertWanted });
  }

  /**
   * Where the monolith writes on it has everything, and nobody is kept in the canary for what the service lacks:
   * sync to brings that once it goes on.
   */
  async #settled(exit: SharedExit, epoch: number): Promise<Record<string, unknown>> {
    try {
      return { position: await exit.settle(epoch) };
    } catch (error) {
      if (this.#changesOwner || !isBanyanError(error)) throw error;
      if (error.code !== 'TIMED_OUT' && error.code !== 'GATE_REFUSED') throw error;
      return { unsettled: error.message };
    }
  }

  #drainMs(): number {
    return Math.min(this.#context.limits.drainMs, this.#hold.leftMs());
  }

  /** A side's fence as it will be. Out of a write canary it is worked out when the service is closed. */
  async #planned(side: Participant | undefined): Promise<FencePlan | undefined> {
    return this.#exit ? undefined : side?.planned(this.#nextOwner());
  }

  /**
   * The flip, and with it the new owner's fence lifted: what that needs is had before, for behind the point of no
   * return there would be nothing but waiting. Throws TIMED_OUT.
   */
  async #handOver(given: FencePlan | undefined): Promise<void> {
    const sides = this.#sides();
    if (!sides || !this.#changesOwner) {
      await this.#flip();
      return;
    }
    const { next } = sides;
    const { epoch } = this.#progress.state;
    let plan = given;
    const attempt = async (): Promise<boolean> => {
      const current = plan ?? (await next.planned(this.#nextOwner()));
      plan = undefined;
      return next.fenceAs(this.#nextOwner(), current, epoch, () => this.#flip());
    };
    await patiently(next, attempt, {
      timeoutMs: this.#hold.leftMs(),
      what: 'the locks to lift the new owner’s fence',
      assertWanted: () => {
        this.#progress.assertWanted();
      },
    });
    this.#isOpen = true;
  }

  /** One commit in the control database: the point of no return. */
  async #flip(): Promise<void> {
    this.#hold.assertInTime();
    const { switches } = this.#context;
    const progress = this.#progress;
    const { record } = progress;
    await progress.change(
      { phase: this.#to, weight: this.#weight, shared: false },
      { event: 'flip' },
      async (db) => {
        if (record) await switches.setStatus(record, 'flipped', db);
      },
    );
    this.flipped = true;
    await progress.done('flipped');
  }

  #sides(): Sides | undefined {
    const { ends } = this.#context;
    if (!ends) return undefined;
    const flow = this.#nextOwner() === 'service' ? ends.to : ends.back;
    return { flow, previous: flow.source, next: flow.target };
  }

  #nextOwner(): Owner {
    return ownerOf(this.#to);
  }
}
