// One command, one move: looks the phase table up, asks the gates, does what the move needs in the
// databases, changes the state, journals it. Every step can be repeated: what an interrupted move
// left behind is undone or finished before the next begins.
import type { Knex } from 'knex';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import { parseTableName, quoteTable } from '../core/postgres/identifiers.ts';
import type { Connections } from './connections.ts';
import type { Capability, Migration } from './definition.ts';
import { evaluateGates, type GateResult } from './domain/gates.ts';
import { takesOwnership, TRANSITIONS, type Event, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import { Evidence } from './evidence.ts';
import { withLease } from './lease.ts';
import { withEnds, type FlowPair } from './ends.ts';
import { gatherFacts } from './gate-facts.ts';
import type { Participant } from './participant.ts';
import { Replicas } from './replicas.ts';
import { createFlow, removeFlow } from './replication.ts';
import { closeTables } from './retire.ts';
import { StateStore, type JournalEntry } from './store.ts';
import { recoverSwitch, runSwitch, type SwitchContext } from './switch.ts';
import { SwitchLog } from './switch-log.ts';

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

export interface MoveRequest {
  readonly capability: string;
  readonly event: Event;
  /** Percent, for a canary. */
  readonly weight?: number;
  readonly why?: string;
  /** Where it should end up. Being there already is success; leading elsewhere is refused. Needed for `retired`. */
  readonly to?: Phase;
  /** Lets `sync` begin although the service's tables hold rows: those the monolith lacks are deleted. */
  readonly replaceTarget?: boolean;
}

export interface MoveResult {
  readonly capability: string;
  readonly from: Phase;
  readonly to: Phase;
  readonly weight: number;
  readonly gates: readonly GateResult[];
  /** Set when the move was a switch of ownership. */
  readonly pauseMs?: number;
}

const TRAFFIC_TIMEOUT_MS = 5_000;

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #store: StateStore;
  readonly #evidence: Evidence;
  readonly #replicas: Replicas;
  readonly #switches: SwitchLog;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#store = new StateStore(options.db);
    this.#evidence = new Evidence(options.db);
    this.#replicas = new Replicas(options.db);
    this.#switches = new SwitchLog(options.db);
  }

  /**
   * Moves a capability. Throws MOVE_NOT_ALLOWED, GATE_REFUSED (details: the gates), MOVE_IN_PROGRESS,
   * SWITCH_UNDONE and the errors of the databases; the capability is then where it was.
   */
  async move(request: MoveRequest): Promise<MoveResult> {
    const definition = this.#capability(request.capability);
    return withLease(this.#options.controlUrl, request.capability, () =>
      withEnds(this.#options.connections, request.capability, definition, async (ends) => {
        const cut = await this.#switches.open(request.capability);
        const state = await this.#recovered(request.capability, definition, ends);
        // Asked again for a switch that was cut short after its flip: it has just been finished.
        if (cut?.status === 'flipped' && leadsTo(cut.from, request.event) === cut.to)
          return {
            capability: state.capability,
            from: cut.from,
            to: cut.to,
            weight: state.weight,
            gates: [],
          };
        if (request.to !== undefined && state.phase === request.to && request.event !== 'weight') {
          if (ends) await this.#finished(state, request.event, definition, ends);
          return stayed(state);
        }
        const outcome = TRANSITIONS[state.phase][request.event];
        if (outcome.kind === 'refused') {
          if (ends && (await this.#finished(state, request.event, definition, ends)))
            return {
              capability: state.capability,
              from: state.phase,
              to: state.phase,
              weight: state.weight,
              gates: [],
            };
          throw new BanyanError(
            'MOVE_NOT_ALLOWED',
            `capability "${request.capability}" is in ${state.phase}: ${outcome.why}`,
            {
              hint: '`banyan status` shows where it is, `banyan journal` how it came there.',
            },
          );
        }
        assertDestination(request, state.phase, outcome.to);
        const weight = weightAfter(request, state, outcome.to);
        const facts = await gatherFacts(
          this.#evidence,
          request.capability,
          definition,
          ends,
          outcome.to,
        );
        const gates = evaluateGates(state.phase, outcome.to, facts);
        const refused = gates.filter((gate) => gate.verdict !== 'pass');
        if (refused.length > 0) throw gateError(request.capability, outcome.to, refused, gates);
        const entry: JournalEntry = {
          who: this.#options.who,
          event: request.event,
          why: request.why ?? '',
          evidence: { gates, ...(outcome.to === 'canary' && { weight }) },
        };
        const pauseMs = await this.#perform(
          state,
          outcome.to,
          weight,
          entry,
          definition,
          ends,
          request,
        );
        return {
          capability: request.capability,
          from: state.phase,
          to: outcome.to,
          weight,
          gates,
          ...(pauseMs !== undefined && { pauseMs }),
        };
      }),
    );
  }

  /** Finishes or undoes what a dead coordinator left; does nothing while a live one is at it. */
  async recover(capability: string): Promise<boolean> {
    if (!(await this.#switches.open(capability))) return false;
    const definition = this.#capability(capability);
    return withLease(this.#options.controlUrl, capability, () =>
      withEnds(this.#options.connections, capability, definition, async (ends) => {
        await this.#recovered(capability, definition, ends);
        return true;
      }),
    );
  }

  async #recovered(
    id: string,
    definition: Capability,
    ends: FlowPair | undefined,
  ): Promise<CapabilityState> {
    const state = await this.#store.readOne(id);
    const open = await this.#switches.open(id);
    return open ? recoverSwitch(this.#switchContext(definition, ends), state, open) : state;
  }

  async #perform(
    state: CapabilityState,
    to: Phase,
    weight: number,
    entry: JournalEntry,
    definition: Capability,
    ends: FlowPair | undefined,
    request: MoveRequest,
  ): Promise<number | undefined> {
    if (takesOwnership(state.phase, to)) {
      const { evidence } = await runSwitch(
        this.#switchContext(definition, ends),
        state,
        to,
        weight,
        entry,
      );
      return evidence.pauseMs;
    }
    const change = (): Promise<CapabilityState> =>
      this.#store.change(state, { phase: to, weight }, entry);
    switch (`${state.phase}>${to}`) {
      case 'monolith>sync':
        if (ends) await this.#beginSync(state, definition, ends, request.replaceTarget ?? false);
        await change();
        break;
      case 'sync>monolith':
        await this.#settled(await change());
        if (ends) await this.#endSync(state.capability, ends);
        break;
      case 'sync>shadow':
        await this.#evidence.clearShadow(state.capability);
        await change();
        break;
      case 'shadow>canary':
        if (ends) {
          await removeFlow(ends.back);
          await createFlow(ends.back);
        }
        await change();
        break;
      case 'canary>shadow':
        await this.#settled(await change());
        if (ends) await removeFlow(ends.back);
        await this.#evidence.dropFlow(state.capability, 'back');
        await this.#evidence.clearShadow(state.capability);
        break;
      case 'cutover>retired':
        await change();
        if (ends && definition.leaves === 'nothing') {
          await closeTables(ends.to.source, definition.tables);
          await this.#endSync(state.capability, ends);
        }
        break;
      default:
        await change();
    }
    return undefined;
  }

  /** Fence first, then publication, slot and checkpoint; a half-made one is removed again. */
  async #beginSync(
    state: CapabilityState,
    definition: Capability,
    ends: FlowPair,
    replace: boolean,
  ): Promise<void> {
    const { source: monolith, target: service } = ends.to;
    if (!replace) await assertEmpty(service, definition);
    await this.#endSync(state.capability, ends);
    try {
      await monolith.prepare(state.epoch);
      await service.prepare(state.epoch);
      await waitFor(() => service.fence('monolith', state.epoch), {
        timeoutMs: 30_000,
        what: 'the locks to fence the service’s tables',
      });
      await createFlow(ends.to);
    } catch (error) {
      await this.#endSync(state.capability, ends);
      throw error;
    }
  }

  /** Removes all of ours from both databases, except what other capabilities need there. */
  async #endSync(capability: string, ends: FlowPair): Promise<void> {
    for (const flow of [ends.to, ends.back]) await removeFlow(flow);
    for (const side of [ends.to.source, ends.to.target]) await side.remove();
    for (const direction of ['to', 'back'] as const)
      await this.#evidence.dropFlow(capability, direction);
  }

  /** Asked again for a last move that was cut short: removes what it left in the databases. False when there is nothing. */
  async #finished(
    { capability, phase }: CapabilityState,
    event: Event,
    definition: Capability,
    ends: FlowPair,
  ): Promise<boolean> {
    const home = phase === 'monolith' && event === 'rollback';
    const over = phase === 'retired' && event === 'advance' && definition.leaves === 'nothing';
    if (!home && !over) return false;
    const present = [
      await ends.to.source.present(),
      await ends.to.target.present(),
      (await this.#evidence.flows(capability)).length > 0,
    ];
    if (!present.includes(true)) return false;
    if (over) await closeTables(ends.to.source, definition.tables);
    await this.#endSync(capability, ends);
    return true;
  }

  /** Waits until no live facade acts on an older state; one that stays silent is not waited for longer. */
  async #settled({ capability, version }: CapabilityState): Promise<void> {
    await this.#replicas.acknowledged(capability, version, TRAFFIC_TIMEOUT_MS);
  }

  #switchContext(definition: Capability, ends: FlowPair | undefined): SwitchContext {
    return {
      store: this.#store,
      switches: this.#switches,
      replicas: this.#replicas,
      tables: definition.tables,
      ends,
      who: this.#options.who,
      log: this.#options.log,
      ...(this.#options.onStep && { onStep: this.#options.onStep }),
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

/** What gives up the way back is done only when it is asked for by name. */
function assertDestination(request: MoveRequest, from: Phase, leads: Phase): void {
  if (request.to === undefined && leads !== 'retired') return;
  if (request.to === leads) return;
  throw new BanyanError(
    'MOVE_NOT_ALLOWED',
    request.to === undefined
      ? `capability "${request.capability}" would retire: there is no way back from that`
      : `capability "${request.capability}" is in ${from}, which leads to ${leads}, not to ${request.to}`,
    {
      hint:
        request.to === undefined
          ? 'If that is what you want, say so: --to retired.'
          : 'Move it there step by step; `banyan status` shows where it is.',
    },
  );
}

/** It is where it should be: a command that is given again, after another one finished the move. */
function stayed(state: CapabilityState): MoveResult {
  const { capability, phase, weight } = state;
  return { capability, from: phase, to: phase, weight, gates: [] };
}

function leadsTo(from: Phase, event: Event): Phase | undefined {
  const outcome = TRANSITIONS[from][event];
  return outcome.kind === 'move' ? outcome.to : undefined;
}

function weightAfter(request: MoveRequest, state: CapabilityState, to: Phase): number {
  if (to !== 'canary' && request.weight !== undefined)
    throw new BanyanError('USAGE', `this move leads to ${to}; a weight exists in canary only`, {
      hint: 'Leave --weight out.',
    });
  if (to !== 'canary' || request.event === 'rollback') return 0;
  const weight = request.weight ?? (state.phase === 'canary' ? state.weight : 0);
  if (weight >= 0 && weight <= 100) return weight;
  throw new BanyanError('USAGE', `weight ${weight} is not a percentage`, {
    hint: 'Give a number from 0 to 100.',
  });
}

async function assertEmpty(service: Participant, definition: Capability): Promise<void> {
  for (const table of definition.tables.flatMap((one) => one.service)) {
    const name = quoteTable(parseTableName(table));
    const { rows } = await service.client.query(`SELECT 1 FROM ${name} LIMIT 1`);
    if (rows.length > 0)
      throw new BanyanError('PREFLIGHT_FAILED', `table ${table} of the service is not empty`, {
        hint: 'With --replace-target its rows are overwritten, and those that the monolith lacks deleted.',
      });
  }
}

function gateError(
  id: string,
  to: Phase,
  refused: readonly GateResult[],
  gates: readonly GateResult[],
): BanyanError {
  const lines = refused.map(
    (gate) =>
      `  - ${gate.gate}: ${gate.figure}, limit ${gate.limit} (${gate.verdict})${gate.note === undefined ? '' : `: ${gate.note}`}`,
  );
  return new BanyanError(
    'GATE_REFUSED',
    `capability "${id}" may not move to ${to}:\n${lines.join('\n')}`,
    {
      hint: refused.some((gate) => gate.verdict === 'fail')
        ? 'Mend what the gate names, then advance again.'
        : 'There is too little evidence yet; wait, or produce it (`banyan verify`), then advance again.',
      details: { gates },
    },
  );
}
