// One command, one move: looks the phase table up, asks the gates, has the move done and journaled.
// What an interrupted move left behind is undone or finished before the next begins.
import type { Knex } from 'knex';
import { BanyanError, messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import { abort, type AbortRequest, type AbortResult } from './abort.ts';
import type { Connections } from './connections.ts';
import type { Capability, Migration } from './definition.ts';
import { evaluateGates } from './domain/gates.ts';
import {
  assertDestination,
  assertVersion,
  assertWayBack,
  gateError,
  isShared,
  leadsTo,
  stayed,
  weightAfter,
  type MoveRequest,
  type MoveResult,
  type PlannedMove,
} from './domain/move.ts';
import { ownerOf, takesOwnership, TRANSITIONS } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import { Evidence } from './evidence.ts';
import { coverPartitions } from './late-partitions.ts';
import { withLease } from './lease.ts';
import { withEnds } from './ends.ts';
import { giveUp, type Loss } from './giving-up.ts';
import { gatherFacts } from './gate-facts.ts';
import { pauseFlows, resumeFlows, type Pausable } from './pauses.ts';
import type { Rehearsal } from './domain/rehearsal.ts';
import { assertWindow } from './rehearsal-checks.ts';
import { endRehearsal, rehearse, type RehearsalContext } from './rehearsal.ts';
import { RehearsalLog } from './rehearsal-log.ts';
import { RelayReports } from './relay-reports.ts';
import { Replicas } from './replicas.ts';
import { Steps, type Site } from './steps.ts';
import { StateStore, type JournalEntry } from './store.ts';
import { recoverSwitch, runSwitch } from './switch.ts';
import { SwitchLog } from './switch-log.ts';
import type { SwitchContext } from './switch-run.ts';
import { bringTrafficBack, leadsTrafficBack } from './traffic-back.ts';
import { enterWriteCanary } from './write-canary.ts';

const FLOWING_TIMEOUT_MS = 20_000;
const FLOWING_POLL_MS = 100;
const TRAFFIC_TIMEOUT_MS = 5_000;

export interface CoordinatorOptions {
  readonly migration: Migration;
  readonly connections: Connections;
  readonly controlUrl: string;
  readonly db: Knex;
  /** Who asks, for the journal. */
  readonly who: string;
  readonly log: Logger;
  readonly onStep?: SwitchContext['onStep'];
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #store: StateStore;
  readonly #evidence: Evidence;
  readonly #replicas: Replicas;
  readonly #switches: SwitchLog;
  readonly #rehearsals: RehearsalLog;
  readonly #steps: Steps;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#store = new StateStore(options.db);
    this.#evidence = new Evidence(options.db);
    this.#replicas = new Replicas(options.db);
    this.#switches = new SwitchLog(options.db);
    this.#rehearsals = new RehearsalLog(options.db);
    this.#steps = new Steps({
      store: this.#store,
      evidence: this.#evidence,
      replicas: this.#replicas,
      relays: new RelayReports(options.db),
    });
  }

  /**
   * Moves a capability. Throws MOVE_NOT_ALLOWED, GATE_REFUSED (details: the gates), MOVE_IN_PROGRESS,
   * SWITCH_UNDONE and the errors of the databases; the capability is then where it was.
   */
  async move(request: MoveRequest): Promise<MoveResult> {
    const { capability } = request;
    const back = await this.#trafficBack(request);
    if (back) return back;
    return this.#alone(capability, async (site) => {
      const cut = await this.#switches.open(capability);
      const state = await this.#recovered(capability, site);
      assertVersion(request, state);
      // Asked again for a switch that was cut short after its flip: it has just been finished.
      if (cut?.status === 'flipped' && leadsTo(cut.from, request.event) === cut.to)
        return { ...stayed(state), from: cut.from };
      const outcome = TRANSITIONS[state.phase][request.event];
      const there = state.phase === request.to && request.event !== 'weight';
      if (there || outcome.kind === 'refused') {
        const finished = await this.#steps.tidied(state, site);
        if (there || finished) return stayed(state);
      }
      if (outcome.kind === 'refused') throw notAllowed(state, outcome.why);
      const { to } = outcome;
      assertWayBack(site.definition, to);
      assertDestination(request, state.phase, to);
      if (site.ends && to !== state.phase && !state.shared)
        for (const side of [site.ends.to.source, site.ends.to.target]) await side.assertOneWriter();
      const weight = weightAfter(request, state, to);
      const facts = await gatherFacts(this.#evidence, capability, site.definition, site.ends, to);
      const gates = evaluateGates(state.phase, to, facts);
      const refused = gates.filter((gate) => gate.verdict !== 'pass');
      if (refused.length > 0) throw gateError(request, to, refused, gates);
      const move: PlannedMove = {
        to,
        weight,
        entry: {
          who: this.#options.who,
          event: request.event,
          why: request.why ?? '',
          evidence: { gates, ...(to === 'canary' && { weight }) },
        },
      };
      const result = { capability, from: state.phase, to, weight, gates };
      const pauseMs = await this.#carryOut(state, move, site, request.replaceTarget ?? false);
      return { ...result, ...(pauseMs !== undefined && { pauseMs }) };
    });
  }

  /** Done with the control database alone; undefined where a move needs more than that. */
  async #trafficBack(request: MoveRequest): Promise<MoveResult | undefined> {
    const { capability, event, why = '' } = request;
    if (event === 'advance') return undefined;
    const definition = this.#capability(capability);
    const { controlUrl, who, log } = this.#options;
    const moved = await withLease(controlUrl, capability, async () => {
      const state = await this.#store.readOne(capability);
      assertVersion(request, state);
      const leads = leadsTrafficBack(request, state, definition);
      if (!leads || (await this.#switches.open(capability))) return undefined;
      if ((await this.#rehearsals.open(capability)) !== undefined) return undefined;
      const evidence = { gates: [], ...(leads.to === 'canary' && { weight: leads.weight }) };
      const move = { ...leads, entry: { who, event, why, evidence } };
      const parts = { store: this.#store, steps: this.#steps };
      const { version } = await bringTrafficBack(parts, state, move);
      return { result: { capability, from: state.phase, ...leads, gates: [] }, version };
    });
    if (moved?.result.to !== 'shadow') return moved?.result;
    try {
      await this.#replicas.acknowledged(capability, moved.version, TRAFFIC_TIMEOUT_MS);
      await this.#alone(capability, async (site) =>
        this.#steps.tidied(await this.#recovered(capability, site), site),
      );
    } catch (error) {
      // The caretaker does it once the database is there again.
      if (!isConnectionError(error)) throw error;
      log.warn('what the canary needed is removed later', { capability, error: messageOf(error) });
    }
    return moved.result;
  }

  /** Gives how long writes were held, where they were. */
  async #carryOut(
    state: CapabilityState,
    move: PlannedMove,
    site: Site,
    replaceTarget: boolean,
  ): Promise<number | undefined> {
    const { to } = move;
    const shares = isShared(site.definition, move);
    const context = this.#switchContext(site);
    if (takesOwnership(state.phase, to) || (state.shared && to === 'canary' && !shares))
      return (await runSwitch(context, state, move)).evidence.pauseMs;
    if (shares && !state.shared) {
      // The way back is built first, and must be seen to run.
      const closed = { ...move, weight: 0 };
      if (state.phase !== to) await this.#steps.take(state, closed, site, replaceTarget);
      await this.#flowing(state, site);
      const there = await this.#store.readOne(state.capability);
      await enterWriteCanary(context, there, move);
      return undefined;
    }
    const left = state.shared && to !== 'canary' ? { ...move, to: state.phase } : undefined;
    const outcome = left && (await runSwitch(context, state, left));
    await this.#steps.take(outcome?.state ?? state, move, site, replaceTarget);
    return outcome?.evidence.pauseMs;
  }

  /** Waits until both flows run and keep up; just built, one has yet to begin. Throws GATE_REFUSED. */
  async #flowing({ capability, phase }: CapabilityState, site: Site): Promise<void> {
    const deadline = performance.now() + (phase === 'canary' ? 0 : FLOWING_TIMEOUT_MS);
    for (;;) {
      const facts = await gatherFacts(
        this.#evidence,
        capability,
        site.definition,
        site.ends,
        'canary',
      );
      const gates = evaluateGates('cutover', 'canary', facts);
      const refused = gates.filter((gate) => gate.verdict !== 'pass');
      if (refused.length === 0) return;
      if (performance.now() > deadline)
        throw gateError({ capability, event: 'weight' }, 'canary', refused, gates);
      await sleep(FLOWING_POLL_MS);
    }
  }

  /**
   * Back to `monolith` from any phase before retirement, with nothing of ours left. From `cutover` by the
   * switch back; with `losing` also where that is refused or the service's database is gone. Throws what
   * a move throws; what it has done by then stands, and the same command goes on.
   */
  async abort({ capability, why = '', losing }: AbortRequest): Promise<AbortResult> {
    const state = await this.#store.readOne(capability);
    if (state.phase === 'retired') throw notAllowed(state, 'retired has given up the way back');
    const entry = { who: this.#options.who, event: 'abort', why, evidence: {} };
    return abort({ capability, ...(losing && { losing }) }, state, {
      rollBack: () =>
        this.move({ capability, event: 'rollback', to: state.shared ? 'shadow' : 'canary', why }),
      withdraw: () =>
        this.#alone(capability, async (site) =>
          this.#steps.withdraw(await this.#recovered(capability, site), entry, site),
        ),
      giveUp: () => this.#giveUp(capability, entry),
    });
  }

  #giveUp(capability: string, entry: JournalEntry): Promise<Loss> {
    const definition = this.#capability(capability);
    const { controlUrl, connections, migration } = this.#options;
    const { changeLog, capabilities } = migration;
    const at = { where: { connections, changeLog, capabilities }, definition, entry };
    const parts = { store: this.#store, evidence: this.#evidence, replicas: this.#replicas };
    const relays = new RelayReports(this.#options.db);
    return withLease(controlUrl, capability, (lease) =>
      giveUp({ ...parts, relays, lease, ...at }, capability),
    );
  }

  /**
   * Holds, drains and releases as a switch does, without its fence and its flip; watches for `windowMs`
   * at least who writes beside the facade. Throws what a switch throws before its fence, and USAGE.
   */
  async rehearse(capability: string, windowMs = 0, why = ''): Promise<Rehearsal> {
    assertWindow(windowMs, this.#options.migration.facade.hold.timeoutMs);
    return this.#alone(capability, async (site) =>
      rehearse(
        this.#rehearsalContext(site, why),
        await this.#recovered(capability, site),
        windowMs,
      ),
    );
  }

  /** Forgets what shadow traffic told so far: the service has been mended. Throws MOVE_NOT_ALLOWED outside `shadow`. */
  async restartShadow(capability: string, why = ''): Promise<void> {
    await this.#alone(capability, async (site) => {
      const state = await this.#recovered(capability, site);
      if (state.phase !== 'shadow') throw notAllowed(state, 'nothing is counted there');
      const entry = { who: this.#options.who, event: 'restart shadow', why, evidence: {} };
      await this.#steps.countAnew(state, { to: state.phase, weight: state.weight, entry });
    });
  }

  /**
   * Stops the flows of a capability, or only its copy, until they are resumed; what is written meanwhile
   * waits in the source's WAL, and with the copy alone paused it does not wait.
   */
  async pauseFlows(capability: string, why = '', what: Pausable = 'flows'): Promise<void> {
    const { who } = this.#options;
    await this.#note(capability, eventOf('pause', what), why, (db) =>
      pauseFlows(db, { capability, what, who, why }),
    );
  }

  /** Lets all of it go on, or only the copy. */
  async resumeFlows(capability: string, why = '', what: Pausable = 'flows'): Promise<void> {
    await this.#note(capability, eventOf('resume', what), why, (db) =>
      resumeFlows(db, capability, what),
    );
  }

  /** Journals what is no move, and does it in the same transaction. */
  async #note(
    capability: string,
    event: string,
    why: string,
    within: (db: Knex.Transaction) => Promise<void>,
  ): Promise<void> {
    await this.#alone(capability, async (site) => {
      const state = await this.#recovered(capability, site);
      const { who } = this.#options;
      await this.#store.change(state, {}, { who, event, why, evidence: {} }, within);
    });
  }

  /**
   * Finishes or undoes a switch, or ends a rehearsal, that a dead coordinator left; throws
   * MOVE_IN_PROGRESS while a live one is at it.
   */
  async recover(capability: string): Promise<boolean> {
    const open =
      (await this.#switches.open(capability)) ?? (await this.#rehearsals.open(capability));
    if (open === undefined) return false;
    await this.#alone(capability, (site) => this.#recovered(capability, site), 0);
    return true;
  }

  /** Removes what a move that was cut short has left in the databases. Throws MOVE_IN_PROGRESS. */
  async tidy(capability: string): Promise<boolean> {
    return this.#alone(
      capability,
      async (site) => this.#steps.tidied(await this.#recovered(capability, site), site),
      0,
    );
  }

  /**
   * Closes partitions that have come to a closed table since it was fenced; gives their names. Throws
   * MOVE_IN_PROGRESS.
   */
  async coverPartitions(capability: string): Promise<string[]> {
    return this.#alone(
      capability,
      async (site) => {
        const { phase, epoch } = await this.#recovered(capability, site);
        const covered: string[] = [];
        for (const side of site.ends ? [site.ends.to.source, site.ends.to.target] : [])
          covered.push(...(await coverPartitions(side, ownerOf(phase), epoch)));
        return covered;
      },
      0,
    );
  }

  /** Runs `work` while nobody else moves the capability, with its databases open. */
  async #alone<T>(id: string, work: (site: Site) => Promise<T>, waitMs?: number): Promise<T> {
    const definition = this.#capability(id);
    const { controlUrl, connections, migration } = this.#options;
    const where = { ...migration, connections };
    return withLease(
      controlUrl,
      id,
      (lease) => withEnds(where, id, definition, (ends) => work({ definition, ends, lease })),
      waitMs,
    );
  }

  /** The state, once a switch that was cut short is undone or finished. */
  async #recovered(id: string, site: Site): Promise<CapabilityState> {
    const found = await this.#store.readOne(id);
    const rehearsal = await this.#rehearsals.open(id);
    const state =
      rehearsal === undefined
        ? found
        : await endRehearsal(this.#rehearsalContext(site), found, rehearsal);
    const open = await this.#switches.open(id);
    return open ? recoverSwitch(this.#switchContext(site), state, open) : state;
  }

  #switchContext({ definition, ends }: Site): SwitchContext {
    return {
      store: this.#store,
      switches: this.#switches,
      replicas: this.#replicas,
      definition,
      ends,
      who: this.#options.who,
      log: this.#options.log,
      ...(this.#options.onStep && { onStep: this.#options.onStep }),
    };
  }

  #rehearsalContext({ definition, ends }: Site, why = ''): RehearsalContext {
    return {
      store: this.#store,
      rehearsals: this.#rehearsals,
      replicas: this.#replicas,
      evidence: this.#evidence,
      tables: definition.tables,
      ends,
      who: this.#options.who,
      why,
      onStep: this.#options.onStep,
    };
  }

  #capability(id: string): Capability {
    const found = this.#options.migration.capabilities[id];
    if (found) return found;
    throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${id}"`, {
      hint: `The definition names: ${Object.keys(this.#options.migration.capabilities).join(', ')}.`,
    });
  }
}

function notAllowed({ capability, phase }: CapabilityState, why: string): BanyanError {
  return new BanyanError('MOVE_NOT_ALLOWED', `capability "${capability}" is in ${phase}: ${why}`, {
    hint: '`banyan status` shows where it is, `banyan journal` how it came there.',
  });
}

function eventOf(event: 'pause' | 'resume', what: Pausable): string {
  return what === 'copy' ? `${event} copy` : event;
}
