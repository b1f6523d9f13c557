// A switch rehearsed, without its fence and its flip:
//   check → hold → note who writes (+ barrier) → drain → release → note no more
//
// Writes go to the owner before, during and after it. The hold is released first, whatever happens; a
// rehearsal that is cut short anywhere is ended by `endRehearsal`. Each step in the owner's database is
// guarded by the epoch there, so that a coordinator that wakes up late notes nobody.
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { Bypasses } from './bypasses.ts';
import type { TableMap } from './definition.ts';
import { ownerOf } from './domain/phase.ts';
import type { Rehearsal } from './domain/rehearsal.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import type { HoldLimits } from './facade-settings.ts';
import type { Evidence } from './evidence.ts';
import { assertReady } from './rehearsal-checks.ts';
import type { RehearsalLog } from './rehearsal-log.ts';
import type { Participant } from './participant.ts';
import type { Replicas } from './replicas.ts';
import { waitForPosition, type FlowEnds } from './replication.ts';
import type { JournalEntry, StateStore } from './store.ts';
import { patiently } from './table-locks.ts';

export interface RehearsalContext {
  readonly store: StateStore;
  readonly rehearsals: RehearsalLog;
  readonly replicas: Replicas;
  readonly evidence: Evidence;
  readonly tables: readonly TableMap[];
  /** None for a capability without tables: nobody can be noted. */
  readonly ends: FlowPair | undefined;
  /** How long writers may be held, and for what. */
  readonly limits: HoldLimits;
  readonly who: string;
  readonly why: string;
  /** Called after each step; tests die here. */
  readonly onStep?: ((step: string) => void | Promise<void>) | undefined;
}

const ATTEMPTS = 20;

interface Held {
  readonly holdMs: number;
  readonly acknowledged: ReadonlyMap<string, number>;
  readonly unheard: readonly string[];
}

/**
 * Rehearses; `windowMs` is for how long writers are watched at least, once all replicas hold. Throws
 * MOVE_NOT_ALLOWED, GATE_REFUSED, TIMED_OUT and STALE_COORDINATOR; writes are released then, too.
 */
export async function rehearse(
  context: RehearsalContext,
  given: CapabilityState,
  windowMs: number,
): Promise<Rehearsal> {
  const { store, rehearsals, ends, tables } = context;
  const flow = ends && (ownerOf(given.phase) === 'monolith' ? ends.to : ends.back);
  await assertReady(context, given, flow);
  const at = (await context.evidence.now()).toISOString();
  const entry = entryOf(context);
  const { capability, phase } = given;
  const { who, why } = context;
  let id = 0;
  const state = await store.change(given, { epoch: given.epoch + 1 }, entry, async (db) => {
    id = await rehearsals.begin({ capability, phase, who, why }, db);
  });
  const walk = new Walk(context, id, state, flow && { flow, tables });
  try {
    return await walk.whole(at, windowMs);
  } catch (error) {
    await walk.end();
    throw error;
  }
}

/** Ends one that was cut short: the hold first, then what it has left. */
export async function endRehearsal(
  context: RehearsalContext,
  state: CapabilityState,
  open: number,
): Promise<CapabilityState> {
  const { ends, tables, store } = context;
  const entry = {
    ...entryOf(context),
    event: 'release',
    why: 'the coordinator of a rehearsal died',
  };
  const raised = await store.change(state, { epoch: state.epoch + 1, holding: false }, entry);
  const source = ends && (ownerOf(state.phase) === 'monolith' ? ends.to : ends.back).source;
  if (source && (await source.present())) {
    const bypasses = new Bypasses(source, tables);
    await bypasses.prepare(raised.epoch);
    await stopNoting(source, bypasses, raised.epoch);
    await bypasses.forget(raised.epoch);
  }
  await context.rehearsals.end(open);
  return raised;
}

interface Seen {
  readonly held: Held;
  readonly attempts: number;
  readonly lockMs: number;
  readonly drainMs: number;
  readonly watchedMs: number;
  /** By the owner's database. */
  readonly from: string;
  readonly until: string;
}

/** One under way. */
class Walk {
  readonly #id: number;
  #state: CapabilityState;
  readonly #context: RehearsalContext;
  readonly #flow: FlowEnds | undefined;
  readonly #bypasses: Bypasses | undefined;
  /** Whether the triggers may be there. */
  #noting = false;

  constructor(
    context: RehearsalContext,
    id: number,
    state: CapabilityState,
    noted: { readonly flow: FlowEnds; readonly tables: readonly TableMap[] } | undefined,
  ) {
    this.#context = context;
    this.#id = id;
    this.#state = state;
    this.#flow = noted?.flow;
    this.#bypasses = noted && new Bypasses(noted.flow.source, noted.tables);
  }

  async whole(at: string, windowMs: number): Promise<Rehearsal> {
    const { replicas, rehearsals, onStep } = this.#context;
    const bypasses = this.#bypasses;
    await bypasses?.prepare(this.#state.epoch);
    await replicas.steady();
    const { held, lockMs, drainMs, from, until, ...seen } = await this.#hold(windowMs);
    this.#state = await release(this.#context, this.#state);
    await onStep?.('released');
    if (bypasses && this.#flow) await stopNoting(this.#flow.source, bypasses, this.#state.epoch);
    await onStep?.('stopped');
    const { capability, phase } = this.#state;
    const report: Rehearsal = {
      ...{ capability, phase, owner: ownerOf(phase), at, ...seen },
      pauseMs: held.holdMs + lockMs + drainMs,
      ...{ holdMs: held.holdMs, lockMs, drainMs },
      replicas: [...held.acknowledged].map(([replica, acknowledgedMs]) => ({
        ...{ replica, acknowledgedMs },
      })),
      unheard: held.unheard,
      bypasses: (await bypasses?.collect(this.#state.epoch, from, until)) ?? [],
    };
    if (await rehearsals.end(this.#id, report)) return report;
    throw new BanyanError('STALE_COORDINATOR', 'another coordinator has ended this rehearsal', {
      hint: 'Look at `banyan status`.',
    });
  }

  /** After a failure. Throws STALE_COORDINATOR when another has taken over: it has ended this one. */
  async end(): Promise<void> {
    const { store, rehearsals } = this.#context;
    const { capability, epoch } = this.#state;
    // What was committed although its answer was lost counts.
    const current = await store.settled(capability);
    if (current.epoch !== epoch)
      throw new BanyanError(
        'STALE_COORDINATOR',
        `another coordinator (epoch ${current.epoch}) has taken over from this one (epoch ${epoch})`,
        { hint: 'Look at `banyan status`.' },
      );
    if (current.holding) await release(this.#context, current, 'the rehearsal failed');
    if (this.#bypasses && this.#flow && this.#noting) {
      await stopNoting(this.#flow.source, this.#bypasses, epoch);
      await this.#bypasses.forget(epoch);
    }
    await rehearsals.end(this.#id);
  }

  /** Returns with the writers still held. */
  async #hold(windowMs: number): Promise<Seen> {
    const { onStep } = this.#context;
    for (let attempts = 1; ; attempts++) {
      const held = await this.#held();
      await onStep?.('held');
      const noting = performance.now();
      this.#noting = true;
      const begun = await this.#bypasses?.begin(this.#state.epoch);
      if (this.#bypasses && !begun) {
        await this.#again(attempts);
        continue;
      }
      const lockMs = since(noting);
      await onStep?.('noting');
      const draining = performance.now();
      if (this.#flow && begun) await waitForPosition(this.#flow, begun.lsn, this.#drainMs(held));
      const drainMs = since(draining);
      await onStep?.('drained');
      await sleep(Math.max(0, windowMs - since(draining)));
      return {
        ...{ held, attempts, lockMs, drainMs },
        watchedMs: this.#bypasses ? since(draining) : 0,
        from: begun?.at ?? '',
        until: (await this.#bypasses?.now()) ?? '',
      };
    }
  }

  /** As a switch would wait: facades must not refuse what they hold. */
  #drainMs({ holdMs }: Held): number {
    const { drainMs, flipMs } = this.#context.limits;
    return Math.max(0, Math.min(drainMs, flipMs - holdMs));
  }

  async #held(): Promise<Held> {
    const { store, replicas, limits } = this.#context;
    const { acknowledgeMs } = limits;
    const began = performance.now();
    const entry = entryOf(this.#context);
    this.#state = await store.change(this.#state, { holding: true }, { ...entry, event: 'hold' });
    const { capability, version } = this.#state;
    const acknowledged = new Map<string, number>();
    const { silent } = await replicas.acknowledged(capability, version, acknowledgeMs, (id) => {
      if (!acknowledged.has(id)) acknowledged.set(id, since(began));
    });
    if (silent.length > 0)
      throw new BanyanError(
        'TIMED_OUT',
        `replicas did not acknowledge the hold: ${silent.join(', ')}`,
        {
          hint: 'What they forward looks like somebody who writes beside the facade. End those facades or restore their control database; long requests in flight end by the facade’s timeout.',
        },
      );
    const holdMs = since(began);
    return { holdMs, acknowledged, unheard: await replicas.unheard() };
  }

  /** A lock could not be had: whoever queued up behind it goes on meanwhile. */
  async #again(attempts: number): Promise<void> {
    this.#state = await release(this.#context, this.#state, 'a lock could not be had');
    if (attempts < ATTEMPTS) {
      await sleep(100 + 50 * attempts);
      return;
    }
    const blockers = (await this.#flow?.source.blockers(0)) ?? [];
    throw new BanyanError('TIMED_OUT', `the tables could not be locked in ${ATTEMPTS} attempts`, {
      hint:
        blockers.length > 0
          ? `In the way: ${blockers.join('; ')}`
          : 'Try again when fewer long transactions run.',
    });
  }
}

function release(
  context: RehearsalContext,
  state: CapabilityState,
  why?: string,
): Promise<CapabilityState> {
  const entry = { ...entryOf(context), event: 'release', ...(why !== undefined && { why }) };
  return context.store.change(state, { holding: false }, entry);
}

/** Throws TIMED_OUT; the rehearsal is still open then, and the next coordinator tries again. */
async function stopNoting(side: Participant, bypasses: Bypasses, epoch: number): Promise<void> {
  await patiently(side, () => bypasses.stop(epoch), {
    timeoutMs: 60_000,
    what: 'the locks to take the triggers of the rehearsal away',
    hint: 'Writes are not held any more. Once they have ended, give the command again.',
  });
}

function entryOf({ who, why }: RehearsalContext): JournalEntry {
  return { who, event: 'rehearse', why, evidence: {} };
}

function since(began: number): number {
  return Math.round(performance.now() - began);
}
