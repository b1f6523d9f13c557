// One switch under way: its steps forward, the steps back, and what is known of it meanwhile.
import { BanyanError } from '../core/errors.ts';
import { sleep, waitFor } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { PlannedMove } from './domain/move.ts';
import { ownerOf, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Acknowledged, Replicas } from './replicas.ts';
import type { FlowPair } from './ends.ts';
import type { FencePlan } from './fence-plan.ts';
import type { Participant } from './participant.ts';
import { waitForBarrier } from './replication.ts';
import { SharedExit } from './shared-exit.ts';
import type { Shared } from './sharing.ts';
import { findSequences, raiseSequences, type SequenceStep } from './sequences.ts';
import type { JournalEntry, StateStore } from './store.ts';
import type { SwitchLog, SwitchRecord } from './switch-log.ts';

export interface SwitchContext {
  readonly store: StateStore;
  readonly switches: SwitchLog;
  readonly replicas: Replicas;
  readonly definition: Shared;
  /** None for a capability without tables. */
  readonly ends: FlowPair | undefined;
  readonly who: string;
  readonly log: Logger;
  /** Called after each step has been done and journaled; tests die here. */
  readonly onStep?: (step: string) => void | Promise<void>;
}

export interface SwitchOutcome {
  readonly state: CapabilityState;
  readonly evidence: {
    /** From the hold to the release, as the coordinator saw it. */
    readonly pauseMs: number;
    readonly attempts: number;
    readonly replicas: readonly string[];
    readonly leftBehind: readonly string[];
    readonly sequences: readonly SequenceStep[];
    readonly steps: readonly { readonly step: string; readonly ms: number }[];
  };
}

const ACKNOWLEDGE_TIMEOUT_MS = 4_000;
const DRAIN_TIMEOUT_MS = 6_000;
const FENCE_ATTEMPTS = 20;
/** Between two attempts at a lock, for the writers that queued up behind it. */
const LOCK_PAUSE_MS = 250;
const BLOCKER_AGE_MS = 2_000;

export class SwitchRun {
  flipped = false;
  readonly #context: SwitchContext;
  readonly #to: Phase;
  readonly #weight: number;
  readonly #entry: JournalEntry;
  readonly #started = performance.now();
  readonly #steps: { step: string; ms: number }[] = [];
  /** Leaving a write canary backwards does not. */
  readonly #changesOwner: boolean;
  #state: CapabilityState;
  #record: SwitchRecord | undefined;
  #heldAt = performance.now();
  /** Whether the old owner's fence may stand already; a recovered switch cannot know. */
  #fenceTouched: boolean;
  #attempts = 0;
  #replicas: Acknowledged = { live: [], silent: [] };
  #sequences: SequenceStep[] = [];
  /** Where it ends a write canary. */
  readonly #exit: SharedExit | undefined;

  constructor(
    context: SwitchContext,
    state: CapabilityState,
    { to, weight, entry }: PlannedMove,
    record?: SwitchRecord,
  ) {
    this.#context = context;
    this.#state = state;
    this.#to = to;
    this.#weight = weight;
    this.#entry = entry;
    this.#record = record;
    this.#changesOwner = ownerOf(record?.from ?? state.phase) !== ownerOf(to);
    this.#fenceTouched = record !== undefined;
    const { ends, definition } = context;
    if (ends && state.shared)
      this.#exit = new SharedExit({
        ...{ ends, definition, timeoutMs: DRAIN_TIMEOUT_MS / 2 },
        onDrained: () => this.#done('drained back'),
      });
  }

  async forward(): Promise<SwitchOutcome> {
    const { store, switches, ends, definition } = this.#context;
    this.#state = await store.change(this.#state, { epoch: this.#state.epoch + 1 }, this.#entry);
    this.#record = await switches.begin({
      capability: this.#state.capability,
      from: this.#state.phase,
      to: this.#to,
      weight: this.#weight,
    });
    const sides = this.#sides();
    if (sides) {
      const closed = this.#exit ? [sides.previous, sides.next] : [sides.previous];
      const blockers: string[] = [];
      for (const side of closed) blockers.push(...(await side.blockers(BLOCKER_AGE_MS)));
      if (blockers.length > 0)
        throw new BanyanError(
          'GATE_REFUSED',
          `open transactions would block the fence: ${blockers.join('; ')}`,
          {
            hint: 'End them, or wait until they are done, and try again.',
          },
        );
    }
    const sequences =
      sides && this.#changesOwner
        ? await findSequences(definition.tables, sides.next, sides.previous)
        : [];
    await this.#done('checked');
    await this.#context.replicas.steady();
    // Read before anybody is held, and as late as that.
    const plans = {
      close: await this.#planned(sides?.previous),
      open: await this.#planned(sides?.next),
    };
    await this.#holdAndFence(plans.close);
    if (ends && sides) {
      const position = this.#exit
        ? await this.#exit.settle(this.#state.epoch)
        : await waitForBarrier(sides.flow, this.#state.epoch, DRAIN_TIMEOUT_MS);
      await this.#done('drained', { position });
      this.#sequences = await raiseSequences(
        sequences,
        sides.next,
        sides.previous,
        this.#state.epoch,
      );
      await this.#done('sequences', { sequences: this.#sequences });
    }
    await this.#flip();
    return this.finish(plans.open);
  }

  /** Whether the flip was committed although its answer was lost. */
  async flippedUnseen(): Promise<boolean> {
    const current = await this.#context.store.readOne(this.#state.capability);
    const { epoch, phase, shared } = current;
    if (epoch !== this.#state.epoch || phase !== this.#to || shared) return false;
    this.#state = current;
    return true;
  }

  /** What remains after the flip: the new owner may write, then the facades let go. */
  async finish(plan?: FencePlan): Promise<SwitchOutcome> {
    this.flipped = true;
    const { store, switches } = this.#context;
    const sides = this.#sides();
    const [owner, epoch] = [ownerOf(this.#to), this.#state.epoch];
    // Who wrote all along has no fence to be lifted.
    if (sides && this.#changesOwner && !(plan && (await sides.next.fenceAs(owner, plan, epoch))))
      await waitFor(() => sides.next.fence(owner, epoch), {
        timeoutMs: 60_000,
        everyMs: LOCK_PAUSE_MS,
        what: 'the locks to lift the new owner’s fence',
        hint: 'Run the command again; the switch goes on from here.',
      });
    await this.#done('unfenced');
    const pauseMs = Math.round(performance.now() - this.#heldAt);
    const evidence = {
      pauseMs,
      attempts: this.#attempts,
      replicas: this.#replicas.live,
      leftBehind: this.#replicas.silent,
      sequences: this.#sequences,
      steps: this.#steps,
    };
    this.#state = await store.change(
      this.#state,
      { holding: false },
      { ...this.#entry, event: 'release', evidence },
    );
    await this.#done('released', { pauseMs });
    if (this.#record) await switches.setStatus(this.#record, 'done');
    return { state: this.#state, evidence };
  }

  /** Back to where it was: the old owner writes, held writes go to it. Throws STALE_COORDINATOR when another has taken over. */
  async undo(why: string): Promise<CapabilityState> {
    const { store, switches, log } = this.#context;
    log.warn('a switch is taken back', { capability: this.#state.capability, why });
    // The state may have moved under a crash: what counts is the row as it stands.
    const current = await store.readOne(this.#state.capability);
    if (current.epoch !== this.#state.epoch)
      throw new BanyanError(
        'STALE_COORDINATOR',
        `another coordinator (epoch ${current.epoch}) has taken over from this one (epoch ${this.#state.epoch}): ${why}`,
        { hint: 'Look at `banyan status`.' },
      );
    const sides = this.#sides();
    const goesOn = !this.#exit || !this.#fenceTouched || (await this.#exit.undo(current.epoch));
    if (sides && this.#fenceTouched && !this.#exit)
      await waitFor(() => sides.previous.fence(ownerOf(current.phase), current.epoch), {
        timeoutMs: 60_000,
        everyMs: LOCK_PAUSE_MS,
        what: 'the locks to lift the old owner’s fence again',
        hint: 'Run the command again; the switch is taken back from here.',
      });
    this.#state = await store.change(
      current,
      goesOn ? { holding: false } : { holding: false, shared: false, weight: 0 },
      { ...this.#entry, event: 'undo', why, evidence: {} },
    );
    if (this.#record) {
      await switches.step(this.#record, 'undone', this.#state.epoch, { why });
      await switches.setStatus(this.#record, 'undone');
    }
    return this.#state;
  }

  /** A side's fence as it will be. Out of a write canary it is worked out when the service is closed. */
  async #planned(side: Participant | undefined): Promise<FencePlan | undefined> {
    return this.#exit ? undefined : side?.planned(ownerOf(this.#to));
  }

  /** While a lock waits, every writer behind it waits too: between attempts the hold is released. */
  async #holdAndFence(planned: FencePlan | undefined): Promise<void> {
    const { store } = this.#context;
    const sides = this.#sides();
    const owner = ownerOf(this.#to);
    let plan = planned;
    for (this.#attempts = 1; ; this.#attempts++) {
      this.#heldAt = performance.now();
      this.#state = await store.change(
        this.#state,
        { holding: true },
        { ...this.#entry, event: 'hold' },
      );
      await this.#acknowledged();
      await this.#done('held', {
        replicas: this.#replicas.live,
        leftBehind: this.#replicas.silent,
      });
      this.#fenceTouched = true;
      if (!sides) break;
      const { epoch } = this.#state;
      const isClosed = this.#exit
        ? this.#exit.fence(owner, epoch)
        : plan
          ? sides.previous.fenceAs(owner, plan, epoch)
          : sides.previous.fence(owner, epoch);
      if (await isClosed) break;
      this.#fenceTouched = false;
      this.#state = await store.change(
        this.#state,
        // The barrier of the next attempt is not that of this one.
        { holding: false, ...(this.#exit && { epoch: this.#state.epoch + 1 }) },
        { ...this.#entry, event: 'unhold', why: 'a lock could not be had' },
      );
      if (this.#attempts >= FENCE_ATTEMPTS) {
        const blockers = await sides.previous.blockers(0);
        throw new BanyanError(
          'TIMED_OUT',
          `the tables could not be locked in ${FENCE_ATTEMPTS} attempts`,
          {
            hint:
              blockers.length > 0
                ? `In the way: ${blockers.join('; ')}`
                : 'Try again when fewer long transactions run.',
          },
        );
      }
      await sleep(100 + 50 * this.#attempts);
      plan = await this.#planned(sides.previous);
    }
    await this.#done('fenced', { attempts: this.#attempts });
  }

  /** Every live replica has let its writes in flight finish; one that stays silent is left to the fence. */
  async #acknowledged(): Promise<void> {
    const { replicas, ends } = this.#context;
    const { capability, version } = this.#state;
    this.#replicas = await replicas.acknowledged(capability, version, ACKNOWLEDGE_TIMEOUT_MS);
    const { silent } = this.#replicas;
    if (silent.length > 0 && !ends)
      throw new BanyanError(
        'TIMED_OUT',
        `replicas did not acknowledge the hold: ${silent.join(', ')}`,
        {
          hint: 'Without tables there is no fence to stop them; end those facades or restore their control database.',
        },
      );
  }

  /** One commit in the control database: the point of no return. */
  async #flip(): Promise<void> {
    const { store, switches } = this.#context;
    const record = this.#record;
    this.#state = await store.change(
      this.#state,
      { phase: this.#to, weight: this.#weight, shared: false },
      { ...this.#entry, event: 'flip' },
      async (db) => {
        if (record) await switches.setStatus(record, 'flipped', db);
      },
    );
    this.flipped = true;
    await this.#done('flipped');
  }

  #sides() {
    const { ends } = this.#context;
    if (!ends) return undefined;
    // The flow that must drain leads from the owner that is left to the one that comes.
    const flow = this.#nextOwner() === 'service' ? ends.to : ends.back;
    return { flow, previous: flow.source, next: flow.target };
  }

  #nextOwner() {
    return ownerOf(this.#to);
  }

  async #done(step: string, evidence: Record<string, unknown> = {}): Promise<void> {
    this.#steps.push({ step, ms: Math.round(performance.now() - this.#started) });
    if (this.#record)
      await this.#context.switches.step(this.#record, step, this.#state.epoch, evidence);
    await this.#context.onStep?.(step);
  }
}
