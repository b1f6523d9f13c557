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
import { evaluateGates } from './domain/gates.ts';
import {
  assertDestination,
  gateError,
  leadsTo,
  stayed,
  weightAfter,
  type MoveRequest,
  type MoveResult,
} from './domain/move.ts';
import { takesOwnership, TRANSITIONS, type Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import { Evidence } from './evidence.ts';
import { withLease } from './lease.ts';
import { withEnds, type FlowPair } from './ends.ts';
import { gatherFacts } from './gate-facts.ts';
import type { Participant } from './participant.ts';
import { Replicas } from './replicas.ts';
import { createFlow, removeFlow } from './replication.ts';
import { tidy } from './rest.ts';
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
          return { ...stayed(state), from: cut.from };
        const outcome = TRANSITIONS[state.phase][request.event];
        const there = state.phase === request.to && request.event !== 'weight';
        if (there || outcome.kind === 'refused') {
          const finished = ends && (await this.#tidied(state, definition, ends));
          if (there || finished) return stayed(state);
        }
        if (outcome.kind === 'refused')
          throw new BanyanError(
            'MOVE_NOT_ALLOWED',
            `capability "${request.capability}" is in ${state.phase}: ${outcome.why}`,
            { hint: '`banyan status` shows where it is, `banyan journal` how it came there.' },
          );
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

  /** Finishes or undoes a switch that a dead coordinator left; throws MOVE_IN_PROGRESS while a live one is at it. */
  async recover(capability: string): Promise<boolean> {
    if (!(await this.#switches.open(capability))) return false;
    await this.#atRest(capability, () => Promise.resolve(true));
    return true;
  }

  /** Removes what a move that was cut short has left in the databases. Throws MOVE_IN_PROGRESS. */
  async tidy(capability: string): Promise<boolean> {
    return this.#atRest(capability, (state, definition, ends) =>
      this.#tidied(state, definition, ends),
    );
  }

  /** Runs `work` while nobody moves the capability; undoes or finishes an open switch first. */
  async #atRest(
    id: string,
    work: (state: CapabilityState, definition: Capability, ends: FlowPair) => Promise<boolean>,
  ): Promise<boolean> {
    const definition = this.#capability(id);
    const { controlUrl, connections } = this.#options;
    return withLease(
      controlUrl,
      id,
      () =>
        withEnds(connections, id, definition, async (ends) => {
          const state = await this.#recovered(id, definition, ends);
          return ends ? work(state, definition, ends) : false;
        }),
      0,
    );
  }

  #tidied(
    { capability, phase }: CapabilityState,
    definition: Capability,
    ends: FlowPair,
  ): Promise<boolean> {
    return tidy(capability, phase, definition, ends, this.#evidence);
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
    given: CapabilityState,
    to: Phase,
    weight: number,
    entry: JournalEntry,
    definition: Capability,
    ends: FlowPair | undefined,
    request: MoveRequest,
  ): Promise<number | undefined> {
    if (takesOwnership(given.phase, to)) {
      const { evidence } = await runSwitch(
        this.#switchContext(definition, ends),
        given,
        to,
        weight,
        entry,
      );
      return evidence.pauseMs;
    }
    // What is built before the state changes is announced first: should we die, the caretaker sees a
    // newer version and tidies up.
    const builds =
      ends &&
      (to === 'sync' || to === 'canary') &&
      given.phase !== to &&
      request.event === 'advance';
    const state = builds
      ? await this.#store.change(given, {}, { ...entry, event: 'begin' })
      : given;
    const change = (): Promise<CapabilityState> =>
      this.#store.change(state, { phase: to, weight }, entry);
    switch (`${state.phase}>${to}`) {
      case 'monolith>sync':
        if (ends) await this.#beginSync(state, definition, ends, request.replaceTarget ?? false);
        await change();
        break;
      case 'sync>monolith':
      case 'cutover>retired':
        await this.#left(await change(), definition, ends);
        break;
      case 'sync>shadow':
        await this.#evidence.clearShadow(state.capability, state.version + 1);
        await change();
        break;
      case 'shadow>canary':
        if (ends) await this.#buildWayBack(state, definition, ends);
        await change();
        break;
      case 'canary>shadow':
        await this.#evidence.clearShadow(state.capability, state.version + 1);
        await this.#left(await change(), definition, ends);
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
    await this.#tidied(state, definition, ends);
    try {
      await monolith.prepare(state.epoch);
      await service.prepare(state.epoch);
      await waitFor(() => service.fence('monolith', state.epoch), {
        timeoutMs: 30_000,
        what: 'the locks to fence the service’s tables',
      });
      // Behind the fence: nothing comes in after this look.
      if (!replace) await assertEmpty(service, definition);
      await createFlow(ends.to);
    } catch (error) {
      await this.#tidied(state, definition, ends);
      throw error;
    }
  }

  /** Publication, slot and checkpoint of sync back; a half-made one is removed again. */
  async #buildWayBack(
    state: CapabilityState,
    definition: Capability,
    ends: FlowPair,
  ): Promise<void> {
    try {
      await removeFlow(ends.back);
      await createFlow(ends.back);
    } catch (error) {
      await this.#tidied(state, definition, ends);
      throw error;
    }
  }

  /** The state has changed; once no live facade acts on the older one, what it needed may go. */
  async #left(
    state: CapabilityState,
    definition: Capability,
    ends: FlowPair | undefined,
  ): Promise<void> {
    await this.#replicas.acknowledged(state.capability, state.version, TRAFFIC_TIMEOUT_MS);
    if (ends) await this.#tidied(state, definition, ends);
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
