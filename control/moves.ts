// One move: looks the phase table up, asks the gates, has it done and journaled. What an interrupted move
// left behind is undone or finished before it begins.
import { messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import { evaluateGates } from './domain/gates.ts';
import {
  assertDestination,
  assertVersion,
  assertWayBack,
  gateError,
  isShared,
  leadsTo,
  notAllowed,
  stayed,
  weightAfter,
  type MoveRequest,
  type MoveResult,
  type PlannedMove,
} from './domain/move.ts';
import { ownerOf, takesOwnership, TRANSITIONS } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import { gatherFacts } from './gate-facts.ts';
import { withLease } from './lease.ts';
import type { Site } from './steps.ts';
import { runSwitch } from './switch.ts';
import { bringTrafficBack, leadsTrafficBack } from './traffic-back.ts';
import type { Workplace } from './workplace.ts';
import { carryProbe } from './way-back.ts';
import { enterWriteCanary } from './write-canary.ts';

const FLOWING_TIMEOUT_MS = 20_000;
const FLOWING_POLL_MS = 100;
const TRAFFIC_TIMEOUT_MS = 5_000;

export class Moves {
  readonly #at: Workplace;

  constructor(at: Workplace) {
    this.#at = at;
  }

  /**
   * Moves a capability. Throws MOVE_NOT_ALLOWED, GATE_REFUSED (details: the gates), MOVE_IN_PROGRESS,
   * SWITCH_UNDONE and the errors of the databases; the capability is then where it was.
   */
  async move(request: MoveRequest): Promise<MoveResult> {
    const { capability } = request;
    const back = await this.#trafficBack(request);
    if (back) return back;
    return this.#at.alone(capability, async (site) => {
      const cut = await this.#at.switches.open(capability);
      const state = await this.#at.recovered(capability, site);
      assertVersion(request, state);
      // Asked again for a switch that was cut short after its flip: it has just been finished.
      if (cut?.status === 'flipped' && leadsTo(cut.from, request.event) === cut.to)
        return { ...stayed(state), from: cut.from };
      const outcome = TRANSITIONS[state.phase][request.event];
      const there = state.phase === request.to && request.event !== 'weight';
      if (there || outcome.kind === 'refused') {
        const finished = await this.#at.steps.tidied(state, site);
        if (there || finished) return stayed(state);
      }
      if (outcome.kind === 'refused') throw notAllowed(state, outcome.why);
      const { to } = outcome;
      assertWayBack(site.definition, to);
      assertDestination(request, state.phase, to);
      if (site.ends && to !== state.phase && !state.shared)
        for (const side of [site.ends.to.source, site.ends.to.target]) await side.assertOneWriter();
      const weight = weightAfter(request, state, to);
      const facts = await gatherFacts(
        this.#at.evidence,
        capability,
        site.definition,
        site.ends,
        to,
      );
      const gates = evaluateGates(state.phase, to, facts);
      const refused = gates.filter((gate) => gate.verdict !== 'pass');
      if (refused.length > 0) throw gateError(request, to, refused, gates);
      const move: PlannedMove = {
        to,
        weight,
        entry: {
          who: this.#at.options.who,
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
    const definition = this.#at.definition(capability);
    const { controlUrl, who, log } = this.#at.options;
    const moved = await withLease(controlUrl, capability, async () => {
      const state = await this.#at.store.readOne(capability);
      assertVersion(request, state);
      const leads = leadsTrafficBack(request, state, definition);
      if (!leads || (await this.#at.switches.open(capability))) return undefined;
      if ((await this.#at.rehearsals.open(capability)) !== undefined) return undefined;
      const evidence = { gates: [], ...(leads.to === 'canary' && { weight: leads.weight }) };
      const move = { ...leads, entry: { who, event, why, evidence } };
      const parts = { store: this.#at.store, steps: this.#at.steps };
      const { version } = await bringTrafficBack(parts, state, move);
      return { result: { capability, from: state.phase, ...leads, gates: [] }, version };
    });
    if (moved?.result.to !== 'shadow') return moved?.result;
    try {
      await this.#at.replicas.acknowledged(capability, moved.version, TRAFFIC_TIMEOUT_MS);
      await this.#at.alone(capability, async (site) =>
        this.#at.steps.tidied(await this.#at.recovered(capability, site), site),
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
    const context = this.#at.switchContext(site);
    if (takesOwnership(state.phase, to) || (state.shared && to === 'canary' && !shares))
      return (await runSwitch(context, state, await proven(move, site))).evidence.pauseMs;
    if (shares && !state.shared) {
      // The way back is built first, and must be seen to run.
      const closed = { ...move, weight: 0 };
      if (state.phase !== to) await this.#at.steps.take(state, closed, site, replaceTarget);
      await this.#flowing(state, site);
      const there = await this.#at.store.readOne(state.capability);
      await enterWriteCanary(context, there, move);
      return undefined;
    }
    const left = state.shared && to !== 'canary' ? { ...move, to: state.phase } : undefined;
    const outcome = left && (await runSwitch(context, state, left));
    await this.#at.steps.take(outcome?.state ?? state, move, site, replaceTarget);
    return outcome?.evidence.pauseMs;
  }

  /** Waits until both flows run and keep up; just built, one has yet to begin. Throws GATE_REFUSED. */
  async #flowing({ capability, phase }: CapabilityState, site: Site): Promise<void> {
    const deadline = performance.now() + (phase === 'canary' ? 0 : FLOWING_TIMEOUT_MS);
    for (;;) {
      const facts = await gatherFacts(
        this.#at.evidence,
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
}

/** Before the service owns, what it writes must be seen to come back. Throws GATE_REFUSED. */
async function proven(move: PlannedMove, { ends }: Site): Promise<PlannedMove> {
  if (!ends || ownerOf(move.to) === 'monolith') return move;
  const { entry } = move;
  const wayBack = await carryProbe(ends.back);
  return { ...move, entry: { ...entry, evidence: { ...entry.evidence, wayBack } } };
}
