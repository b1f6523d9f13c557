// One move: looks the phase table up, asks the gates, has it done and journaled. What an interrupted move
// left behind is undone or finished before it begins.
import { messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import { refuses, type GateResult } from './domain/gate-result.ts';
import { flowGates, type GateFacts } from './domain/gates.ts';
import {
  allowed,
  assertVersion,
  gateError,
  gatesOf,
  isThere,
  kindOf,
  leadsTo,
  stayed,
  type MoveRequest,
  type MoveResult,
  type PlannedMove,
} from './domain/move.ts';
import { ownerOf, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import { gatherFacts } from './gate-facts.ts';
import { withLease } from './lease.ts';
import type { Site } from './steps.ts';
import type { SwitchRecord } from './switch-log.ts';
import { runSwitch } from './switch.ts';
import { bringTrafficBack, leadsTrafficBack } from './traffic-back.ts';
import type { Workplace } from './workplace.ts';
import { isBlocked, unblock, type Unblocking } from './unblock.ts';
import { carryProbe, lookForward } from './way-back.ts';
import { enterWriteCanary } from './write-canary.ts';

/** By then a human should look. */
const WAIT_MS = 600_000;
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
    const until = performance.now() + WAIT_MS;
    for (let asked = request; ;) {
      const result = await this.#finished(asked, performance.now() < until);
      if ('to' in result) return result;
      // Without the lease: whoever must bring traffic back meanwhile can, and what was decided before is over then.
      asked = { ...request, version: result.version };
      await this.#at.looking(capability, async (ends) => {
        const waitMs = until - performance.now();
        if (ends) await unblock({ ...this.#waiting(ends), waitMs });
      });
    }
  }

  /** `#once`, and where it loses a session behind its flip, whatever is left to be done: by new ones. */
  async #finished(request: MoveRequest, waits: boolean): Promise<MoveResult | CapabilityState> {
    try {
      return await this.#once(request, waits);
    } catch (error) {
      if (!isConnectionError(error)) throw error;
      const { capability } = request;
      const cut = await this.#at.switches.open(capability).catch(() => undefined);
      // Out of a write canary more is asked for than the switch.
      if (cut?.status !== 'flipped' || cut.from === cut.to || !isTheSame(cut, request)) throw error;
      // Nothing else: it may have been finished already, and asked again it would go a step further.
      const state = await this.#at
        .alone(capability, (site) => this.#at.recovered(capability, site))
        .catch(() => {
          throw error;
        });
      return { ...stayed(state), from: cut.from };
    }
  }

  /** Moves it, or gives the state in which somebody is in the way of a switch who is to be waited for: nothing has begun. */
  #once(request: MoveRequest, waits: boolean): Promise<MoveResult | CapabilityState> {
    const { capability } = request;
    return this.#at.alone(capability, async (site) => {
      const cut = await this.#at.switches.open(capability);
      const state = await this.#at.recovered(capability, site);
      assertVersion(request, state);
      // Asked again for a switch that was cut short after its flip: it has just been finished.
      if (cut?.status === 'flipped' && isTheSame(cut, request))
        return { ...stayed(state), from: cut.from };
      const there = isThere(request, state);
      if (there || leadsTo(state.phase, request.event) === undefined) {
        const finished = await this.#at.steps.tidied(state, site);
        if (there || finished) return stayed(state);
      }
      const { to, weight } = allowed(site.definition, request, state);
      if (site.ends && to !== state.phase && !state.shared)
        for (const side of [site.ends.to.source, site.ends.to.target]) await side.assertOneWriter();
      const gates = await this.#passed(request, state, { to, weight }, site);
      if (waits && (await this.#isInTheWay(request, state, { to, weight }, site))) return state;
      const move: PlannedMove = {
        to,
        weight,
        ...(request.blockers && { blockers: request.blockers }),
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

  /** The gates of a move, all of which let it pass. Throws GATE_REFUSED. */
  async #passed(
    request: MoveRequest,
    state: CapabilityState,
    move: Pick<PlannedMove, 'to' | 'weight'>,
    site: Site,
  ): Promise<GateResult[]> {
    const facts = await this.#facts(state, move.to, site);
    const gates = gatesOf(site.definition, state, move, facts);
    const refused = gates.filter(refuses);
    if (refused.length > 0) throw gateError(request, move.to, refused, gates);
    return gates;
  }

  /** Whether somebody is in the way of a switch who is to be waited for. */
  async #isInTheWay(
    { blockers: policy }: MoveRequest,
    state: CapabilityState,
    move: Pick<PlannedMove, 'to' | 'weight'>,
    { definition, ends }: Site,
  ): Promise<boolean> {
    if (!ends || policy !== 'wait') return false;
    if (!['switch', 'switch, then the move'].includes(kindOf(definition, state, move)))
      return false;
    return isBlocked(this.#waiting(ends));
  }

  #waiting({ to }: FlowPair): Unblocking {
    return { sides: [to.source, to.target], policy: 'wait', log: this.#at.options.log };
  }

  async #facts({ capability, phase }: CapabilityState, to: Phase, site: Site): Promise<GateFacts> {
    const { definition, ends } = site;
    const facts = await gatherFacts(this.#at.evidence, capability, definition, ends, to);
    if (!ends || phase !== 'cutover' || to !== 'canary') return facts;
    const flows = !flowGates(facts, ['to']).some(refuses);
    return { ...facts, wayForward: await lookForward(ends.to, flows) };
  }

  /** Done with the control database alone; undefined where a move needs more than that. */
  async #trafficBack(request: MoveRequest): Promise<MoveResult | undefined> {
    const { capability, event, why = '' } = request;
    if (event === 'advance') return undefined;
    const { controlUrl, who, log } = this.#at.options;
    const moved = await withLease(controlUrl, capability, async () => {
      const state = await this.#at.store.readOne(capability);
      assertVersion(request, state);
      const leads = leadsTrafficBack(request, state);
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
    const context = this.#at.switchContext(site);
    switch (kindOf(site.definition, state, move)) {
      case 'switch': {
        const planned = ownerOf(to) === 'service' ? await proven(move, site) : move;
        return (await runSwitch(context, state, planned)).evidence.pauseMs;
      }
      case 'opens to cohorts': {
        // The way back is built first, and must be seen to run.
        const closed = { ...move, weight: 0 };
        const there =
          state.phase === to
            ? state
            : await this.#at.steps.take(state, closed, site, replaceTarget);
        await this.#flowing(state, site);
        // It opens on the state that was decided on, and on no other.
        await enterWriteCanary(context, there, await proven(move, site));
        return undefined;
      }
      case 'switch, then the move': {
        const left = await runSwitch(context, state, { ...move, to: state.phase });
        await this.#at.steps.take(left.state, move, site, replaceTarget);
        return left.evidence.pauseMs;
      }
      case 'move':
        await this.#at.steps.take(state, move, site, replaceTarget);
        return undefined;
    }
  }

  /** Waits until both flows run and keep up; just built, one has yet to begin. Throws GATE_REFUSED. */
  async #flowing({ capability, phase }: CapabilityState, site: Site): Promise<void> {
    const deadline = performance.now() + (phase === 'canary' ? 0 : FLOWING_TIMEOUT_MS);
    for (;;) {
      const { evidence } = this.#at;
      const { definition, ends } = site;
      const gates = flowGates(await gatherFacts(evidence, capability, definition, ends, 'canary'));
      const refused = gates.filter(refuses);
      if (refused.length === 0) return;
      if (performance.now() > deadline)
        throw gateError({ capability, event: 'weight' }, 'canary', refused, gates);
      await sleep(FLOWING_POLL_MS);
    }
  }
}

/** Whether a switch that was cut short is the one that is asked for. */
function isTheSame(
  { from, to, weight }: Pick<SwitchRecord, 'from' | 'to' | 'weight'>,
  request: MoveRequest,
): boolean {
  if (leadsTo(from, request.event) !== to) return false;
  return request.weight === undefined ? request.event !== 'weight' : request.weight === weight;
}

/** Before the service may write, what it will write must be seen to come back. Throws GATE_REFUSED. */
async function proven(move: PlannedMove, { ends }: Site): Promise<PlannedMove> {
  if (!ends) return move;
  const { entry } = move;
  const wayBack = await carryProbe(ends.back);
  return { ...move, entry: { ...entry, evidence: { ...entry.evidence, wayBack } } };
}
