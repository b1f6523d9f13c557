// Drives a rollout: looks about every second, and does what domain/rollout.ts decides. One process does so at
// a time, under a lease; another takes over when it is not heard of any more, and goes on from the row.
//
//  1. Before each move the row says where it leads, so that whoever takes over knows it for ours.
//  2. Each move names the state that it was decided on: a driver that wakes up late moves nothing.
//  3. A human who moves the capability, or pauses the rollout, is obeyed: it stops there.
//  4. Ownership goes back only by a switch that drains. Where that is refused, the rollout is stuck,
//     with the data where they are, and a human is called; as long as it is red, it is tried again.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import type { Logger } from '../core/log.ts';
import type { Capability, Migration } from './definition.ts';
import { decideRollout, describePlace, samePlace, type RolloutDecision } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { Evidence } from './evidence.ts';
import { lookAt, type Rights, type RolloutLook } from './rollout-look.ts';
import { takeStepBack, type BackOptions } from './rollout-back.ts';
import { takeStepOn } from './rollout-on.ts';
import { VerifyBeside, type Verify } from './rollout-verify.ts';
import { arrived, callHuman, describeRow, type WordOptions } from './rollout-word.ts';
import type { RolloutChange, RolloutEvent, RolloutRow } from './rollout-store.ts';

export interface DriverOptions extends BackOptions {
  readonly migration: Migration;
  readonly evidence: Evidence;
  /** This process; no other has the same. */
  readonly holder: string;
  readonly log: Logger;
  /** Where both sides can be had here. */
  readonly verify?: Verify | undefined;
  readonly rights?: Rights | undefined;
  readonly everyMs?: number;
}

export class RolloutDriver {
  readonly #options: DriverOptions;
  readonly #word: WordOptions;
  readonly #beside: VerifyBeside | undefined;
  #said = '';
  #notBefore = 0;

  constructor(options: DriverOptions) {
    this.#options = options;
    const { rollouts, who, verify } = options;
    const say = (line: string): void => {
      this.#say(line);
    };
    this.#word = { rollouts, who, say };
    this.#beside = verify && new VerifyBeside(verify);
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
      await this.#beside?.end();
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
    const { store, migration, evidence, rights } = this.#options;
    const definition = migration.capabilities[row.capability];
    if (!definition)
      throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${row.capability}"`);
    const state = await store.readOne(row.capability);
    // A switch is under way: its coordinator brings it to an end, or we do where that one is dead.
    if (state.holding) {
      await this.#recover(row.capability);
      return;
    }
    const isThere = samePlace(state, row);
    if (!isThere || row.status !== 'running') this.#beside?.cancel();
    if (!isThere) {
      await arrived(this.#word, row, state);
      return;
    }
    if (row.status === 'rolling back') {
      // Who aborts, or takes it up, begins anew.
      if (row.attempts > 0 && performance.now() < this.#notBefore) return;
      await this.#stepBack(definition, row, state, false);
      return;
    }
    const { version, atMs, nowMs, watch } = row;
    const since = { version, atMs, nowMs, watch };
    const look = await lookAt(evidence, row.capability, definition, state, since, rights);
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
    { watch: looked, facts }: RolloutLook,
    decision: RolloutDecision,
  ): Promise<void> {
    const { who } = this.#options;
    // Refusals in a row: whatever else is to be done ends them.
    const watch = decision.kind === 'advance' ? looked : { ...looked, refusedAtMs: null };
    const evidence = { gates: facts.watched };
    if (decision.kind === 'back') {
      const isStuck = row.status === 'stuck';
      if (isStuck && performance.now() < this.#notBefore) return;
      const isTold = await this.#change(
        row,
        {
          ...{ status: 'rolling back', watch, going: null },
          // A human has been told already that the way back is refused.
          ...(!isStuck && { why: decision.why, attempts: 0 }),
        },
        isStuck ? undefined : { event: 'rollout red', who, why: decision.why, evidence },
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
    if (row.status !== 'running') return;
    const now = { ...row, revision: row.revision + 1 };
    switch (decision.kind) {
      case 'wait':
        this.#say(`${describePlace(state)}: ${decision.why}`);
        break;
      case 'verify':
        await this.#verify(now, state, facts.atMs);
        break;
      case 'advance':
        await takeStepOn({ ...this.#options, ...this.#word }, now, state, decision.to);
        break;
      case 'finish':
        await this.#change(
          now,
          { status: 'done', why: '' },
          { event: 'rollout done', who, why: '' },
        );
        break;
      case 'call':
        await callHuman(this.#word, now, decision.why);
        break;
    }
  }

  async #verify(row: RolloutRow, state: CapabilityState, atMs: number): Promise<void> {
    const beside = this.#beside;
    if (!beside) return;
    const failed = beside.takeFailure();
    if (failed !== undefined) await callHuman(this.#word, row, failed);
    else if (!beside.isRunning && atMs > this.#longestMs(row.capability))
      await callHuman(this.#word, row, `"${row.capability}" could not be verified in time`);
    else if (beside.begin(row.capability)) this.#say(`${describePlace(state)}: verifying`);
  }

  /** So long evidence may be missing before a human is called. */
  #longestMs(capability: string): number {
    const { bakeMs = 0, waitMs = 0 } =
      this.#options.migration.capabilities[capability]?.rollout ?? {};
    return bakeMs + waitMs;
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

function isOver({ status }: RolloutRow, stays: boolean): boolean {
  switch (status) {
    case 'running':
    case 'rolling back':
      return false;
    case 'paused':
    case 'stuck':
      return !stays;
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
