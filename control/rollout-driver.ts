// Drives a rollout: looks about every second, and does what domain/rollout.ts decides. One process does so at
// a time, under a lease; another takes over when it is not heard of any more, and goes on from the row.
//
//  1. Before each move the row says where it leads, so that whoever takes over knows it for ours.
//  2. Each move names the state that it was decided on: a driver that wakes up late moves nothing.
//  3. A human who moves the capability, or pauses the rollout, is obeyed: it stops there.
//  4. Ownership goes back only by a switch that drains. Where that is refused, the rollout is stuck,
//     with the data where they are, and a human is called.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import type { Logger } from '../core/log.ts';
import type { Capability, Migration } from './definition.ts';
import {
  decideRollout,
  describePlace,
  samePlace,
  type Place,
  type RolloutDecision,
} from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Evidence } from './evidence.ts';
import { lookAt, type RolloutLook } from './rollout-look.ts';
import { takeStepBack, type BackOptions } from './rollout-back.ts';
import type { RolloutChange, RolloutEvent, RolloutRow } from './rollout-store.ts';

export interface DriverOptions extends BackOptions {
  readonly migration: Migration;
  readonly evidence: Evidence;
  /** This process; no other has the same. */
  readonly holder: string;
  readonly log: Logger;
  /** Compares both sides and records the outcome, where that can be had here. */
  readonly verify?: ((capability: string) => Promise<unknown>) | undefined;
  readonly everyMs?: number;
}

export class RolloutDriver {
  readonly #options: DriverOptions;
  #said = '';
  #notBefore = 0;
  #isVerifying = false;
  #verifyAfter = 0;
  #verifyFailed: string | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  /**
   * Drives, or follows who drives, until the rollout ends, waits for a human, or the signal aborts.
   * With `stays`, it goes on watching a rollout that waits: red still leads back. Gives the last row.
   */
  async run(
    capability: string,
    signal: AbortSignal,
    stays = false,
  ): Promise<RolloutRow | undefined> {
    const { rollouts, holder, log, everyMs = 1_000 } = this.#options;
    const over = new AbortController();
    const renewing = this.#keepLease(capability, AbortSignal.any([signal, over.signal]));
    try {
      for (;;) {
        try {
          const row = await rollouts.read(capability);
          if (!row || signal.aborted || isOver(row, stays)) return row;
          if (row.holder === holder || (!row.held && (await this.#take(row)))) {
            const mine = await rollouts.read(capability);
            if (mine && mine.holder === holder && !isOver(mine, stays)) await this.#turn(mine);
          } else this.#say(`driven by ${row.holder ?? 'another process'}: ${describeRow(row)}`);
        } catch (error) {
          // A definition that lacks the capability, or a defect, does not mend itself.
          if (!isBanyanError(error) && !isDatabaseError(error)) throw error;
          log.warn('a rollout could not be looked after; it is tried again', {
            capability,
            error: messageOf(error),
          });
        }
        await sleep(everyMs, signal);
      }
    } finally {
      over.abort();
      await renewing;
      await rollouts.release(capability, holder).catch(() => undefined);
    }
  }

  /** A move may take longer than the lease: it is kept beside it. */
  async #keepLease(capability: string, signal: AbortSignal): Promise<void> {
    const { rollouts, holder } = this.#options;
    for (;;) {
      await sleep(1_000, signal);
      if (signal.aborted) return;
      await rollouts.renew(capability, holder).catch(() => undefined);
    }
  }

  async #take(row: RolloutRow): Promise<boolean> {
    const { rollouts, holder, who } = this.#options;
    if (!(await rollouts.take(row, holder))) return false;
    if (row.holder !== null)
      await rollouts.tell(row, {
        event: 'rollout taken over',
        who,
        why: `${row.holder} is not heard of any more`,
      });
    return true;
  }

  async #turn(row: RolloutRow): Promise<void> {
    const { store, migration, evidence } = this.#options;
    const definition = migration.capabilities[row.capability];
    if (!definition)
      throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${row.capability}"`);
    const state = await store.readOne(row.capability);
    // A switch is under way: its coordinator brings it to an end, or we do where that one is dead.
    if (state.holding) {
      await this.#recover(row.capability);
      return;
    }
    if (!samePlace(state, row)) {
      await this.#arrived(row, state);
      return;
    }
    if (row.status === 'rolling back') {
      // Who aborts, or takes it up, begins anew.
      if (row.attempts > 0 && performance.now() < this.#notBefore) return;
      await this.#stepBack(definition, row, state, false);
      return;
    }
    const { version, atMs, nowMs, watch } = row;
    const look = await lookAt(evidence, row.capability, definition, state, {
      ...{ version, atMs, nowMs, watch },
    });
    await this.#act(row, state, look, decideRollout(look.facts));
  }

  async #recover(capability: string): Promise<void> {
    try {
      await this.#options.coordinator.recover(capability);
    } catch (error) {
      if (!isBanyanError(error, 'MOVE_IN_PROGRESS')) throw error;
    }
  }

  async #act(
    row: RolloutRow,
    state: CapabilityState,
    { watch, facts }: RolloutLook,
    decision: RolloutDecision,
  ): Promise<void> {
    const { verify, who } = this.#options;
    const evidence = { gates: facts.watched };
    if (decision.kind === 'back') {
      const isTold = await this.#change(
        row,
        { status: 'rolling back', why: decision.why, watch, attempts: 0, going: null },
        { event: 'rollout red', who, why: decision.why, evidence },
      );
      if (!isTold) return;
      const definition = this.#options.migration.capabilities[row.capability];
      const now = await this.#options.rollouts.read(row.capability);
      // Traffic goes back in this very turn.
      if (definition && now?.status === 'rolling back')
        await this.#stepBack(definition, now, state, true);
      return;
    }
    // Somebody has paused, aborted or taken it since it was read: his word stands.
    if (!(await this.#change(row, { watch }))) return;
    // Who waits for a human looks out for red only.
    if (row.status === 'paused') return;
    const now = { ...row, revision: row.revision + 1 };
    switch (decision.kind) {
      case 'wait':
        this.#say(`${describePlace(state)}: ${decision.why}`);
        break;
      case 'verify':
        if (!this.#isVerifying && facts.atMs > facts.settings.bakeMs + facts.settings.waitMs)
          await this.#call(now, `"${row.capability}" could not be verified in time`);
        else if (verify) await this.#verify(now, state, verify);
        break;
      case 'advance':
        await this.#advance(now, state, decision.to);
        break;
      case 'finish':
        await this.#change(
          now,
          { status: 'done', why: '' },
          { event: 'rollout done', who, why: '' },
        );
        break;
      case 'call':
        await this.#call(now, decision.why);
        break;
    }
  }

  /** Beside the looks: red leads back while it runs. What it failed with calls a human at the next look. */
  async #verify(
    row: RolloutRow,
    state: CapabilityState,
    verify: NonNullable<DriverOptions['verify']>,
  ): Promise<void> {
    const failed = this.#verifyFailed;
    this.#verifyFailed = undefined;
    if (failed !== undefined) {
      await this.#call(row, failed);
      return;
    }
    if (this.#isVerifying || performance.now() < this.#verifyAfter) return;
    this.#say(`${describePlace(state)}: verifying`);
    this.#isVerifying = true;
    void verify(row.capability)
      .catch((error: unknown) => {
        this.#verifyFailed = messageOf(error);
      })
      .finally(() => {
        this.#isVerifying = false;
        this.#verifyAfter = performance.now() + VERIFY_PAUSE_MS;
      });
  }

  async #stepBack(
    definition: Capability,
    row: RolloutRow,
    state: CapabilityState,
    first: boolean,
  ): Promise<void> {
    const pauseMs = await takeStepBack(this.#options, definition, row, state, first);
    this.#notBefore = performance.now() + pauseMs;
  }

  async #advance(row: RolloutRow, state: CapabilityState, to: Place): Promise<void> {
    const { coordinator, rollouts } = this.#options;
    if (!(await this.#change(row, { going: to }))) return;
    this.#say(`${describePlace(state)} → ${describePlace(to)}`);
    const weight = to.phase === 'canary' ? { weight: to.weight } : {};
    try {
      await coordinator.move({
        capability: row.capability,
        event: state.phase === to.phase ? 'weight' : 'advance',
        ...weight,
        to: to.phase,
        version: state.version,
        why: 'rollout',
      });
    } catch (error) {
      const now = await rollouts.read(row.capability);
      // What a human or a successor has decided meanwhile is not overwritten.
      if (now?.status !== 'running' || now.holder !== row.holder) return;
      // It may have been done all the same, and only what comes after it has failed.
      const there = await this.#options.store.readOne(row.capability);
      if (samePlace(there, to)) await this.#arrived(now, there);
      else await this.#refused(now, error);
      return;
    }
    const now = await rollouts.read(row.capability);
    const there = await this.#options.store.readOne(row.capability);
    if (now) await this.#arrived(now, there);
  }

  /** What may be otherwise in a moment is tried again; anything else is for a human. */
  async #refused(row: RolloutRow, error: unknown): Promise<void> {
    if (!isBanyanError(error)) throw error;
    const { code, retryable } = error;
    if (code === 'MOVE_IN_PROGRESS') return;
    const why = messageOf(error);
    if (code === 'GATE_REFUSED') {
      const { bakeMs = 0, waitMs = 0 } =
        this.#options.migration.capabilities[row.capability]?.rollout ?? {};
      this.#say(why);
      if (row.atMs > bakeMs + waitMs) await this.#call(row, why);
      else await this.#change(row, { going: null });
      return;
    }
    const attempts = row.attempts + 1;
    if (retryable && attempts < MOST_ATTEMPTS) {
      await this.#change(row, { attempts });
      this.#say(`tried ${attempts} times: ${why}`);
    } else await this.#call(row, why);
  }

  /** The capability is where the row does not have it: we have brought it there, or somebody else has. */
  async #arrived(row: RolloutRow, state: CapabilityState): Promise<void> {
    const { who } = this.#options;
    const place = { phase: state.phase, weight: state.weight };
    const isOurs = row.going !== null && samePlace(state, row.going);
    const change: RolloutChange = {
      ...{ place, version: state.version, going: null, attempts: 0, watch: null, anew: true },
    };
    if (isOurs) {
      this.#say(`in ${describePlace(state)}`);
      await this.#change(row, change, {
        event: row.status === 'rolling back' ? 'rollout step back' : 'rollout step',
        ...{ who, why: describePlace(state) },
      });
      return;
    }
    const why = `moved by hand to ${describePlace(state)}`;
    await this.#change(
      row,
      { ...change, ...(row.status !== 'stuck' && { status: 'paused' }), why },
      { event: 'rollout paused', who, why },
    );
  }

  async #call(row: RolloutRow, why: string): Promise<void> {
    const { who } = this.#options;
    await this.#change(
      row,
      { status: 'paused', why, going: null },
      { event: 'rollout paused', who, why },
    );
  }

  #change(row: RolloutRow, change: RolloutChange, event?: RolloutEvent): Promise<boolean> {
    return this.#options.rollouts.change(row, change, event);
  }

  #say(line: string): void {
    // The time that is left is no news.
    const news = line.replace(/\d+ (s|min)\b/g, '');
    if (news !== this.#said) this.#options.say?.(line);
    this.#said = news;
  }
}

const MOST_ATTEMPTS = 3;
/** Between two runs that were both not what the gate asks for. */
const VERIFY_PAUSE_MS = 30_000;

export function describeRow(row: RolloutRow): string {
  const why = row.why === '' ? '' : `: ${row.why}`;
  return `${row.status} in ${describePlace(row)}${why}`;
}

function isOver({ status }: RolloutRow, stays: boolean): boolean {
  switch (status) {
    case 'running':
    case 'rolling back':
      return false;
    case 'paused':
      return !stays;
    case 'stuck':
    case 'done':
    case 'rolled back':
    case 'aborted':
      return true;
  }
}

/** What `pg` and the network throw has a code, but for a connection that broke, or was waited for in vain. */
function isDatabaseError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, name, message } = error as NodeJS.ErrnoException;
  return (
    typeof code === 'string' ||
    name === 'KnexTimeoutError' ||
    /timeout expired|connection timeout/.test(message) ||
    isConnectionError(error)
  );
}
