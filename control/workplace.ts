// Where a move is made: alone with one capability under its lease, with both of its databases open, and
// with whatever a dead coordinator has left there undone or finished first.
import type { Knex } from 'knex';
import { BanyanError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Connections } from './connections.ts';
import type { Capability, Migration } from './definition.ts';
import { definitionVersion } from './definition-version.ts';
import { holdLimits } from './facade-settings.ts';
import type { CapabilityState } from './domain/state.ts';
import { withEnds, type FlowPair } from './ends.ts';
import { Evidence } from './evidence.ts';
import { withLease } from './lease.ts';
import { endRehearsal, type RehearsalContext } from './rehearsal.ts';
import { RehearsalLog } from './rehearsal-log.ts';
import { RelayReports } from './relay-reports.ts';
import { Replicas } from './replicas.ts';
import { Steps, type Site } from './steps.ts';
import { StateStore } from './store.ts';
import { recoverSwitch } from './switch.ts';
import { SwitchLog } from './switch-log.ts';
import type { SwitchContext } from './switch-progress.ts';

export interface CoordinatorOptions {
  readonly migration: Migration;
  readonly connections: Connections;
  readonly controlUrl: string;
  readonly db: Knex;
  /** Who asks, for the journal. */
  readonly who: string;
  readonly log: Logger;
  readonly onStep?: SwitchContext['onStep'];
  readonly interrupts?: SwitchContext['interrupts'];
}

export class Workplace {
  readonly options: CoordinatorOptions;
  readonly store: StateStore;
  readonly evidence: Evidence;
  readonly replicas: Replicas;
  readonly relays: RelayReports;
  readonly switches: SwitchLog;
  readonly rehearsals: RehearsalLog;
  readonly steps: Steps;

  constructor(options: CoordinatorOptions) {
    this.options = options;
    this.store = new StateStore(options.db);
    this.evidence = new Evidence(options.db);
    this.replicas = new Replicas(options.db);
    this.relays = new RelayReports(options.db);
    this.switches = new SwitchLog(options.db);
    this.rehearsals = new RehearsalLog(options.db);
    const { store, evidence, replicas, relays } = this;
    this.steps = new Steps({ store, evidence, replicas, relays });
  }

  /** Throws UNKNOWN_CAPABILITY. */
  definition(id: string): Capability {
    const { capabilities } = this.options.migration;
    const found = capabilities[id];
    if (found) return found;
    throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${id}"`, {
      hint: `The definition names: ${Object.keys(capabilities).join(', ')}.`,
    });
  }

  /** Runs `work` while nobody else moves the capability, with its databases open. */
  async alone<T>(id: string, work: (site: Site) => Promise<T>, waitMs?: number): Promise<T> {
    const definition = this.definition(id);
    return withLease(
      this.options.controlUrl,
      id,
      (lease) => this.looking(id, (ends) => work({ definition, ends, lease })),
      waitMs,
    );
  }

  /** Runs `work` with the capability's databases open: who is not alone with it changes nothing. */
  looking<T>(id: string, work: (ends: FlowPair | undefined) => Promise<T>): Promise<T> {
    const { connections, migration } = this.options;
    return withEnds({ ...migration, connections }, id, this.definition(id), work);
  }

  /**
   * The state, once what was cut short is at rest: a switch undone or finished, a rehearsal ended, the
   * coordinator that had begun to build kept from going on.
   */
  async recovered(id: string, site: Site): Promise<CapabilityState> {
    const found = await this.store.readOne(id);
    const rehearsal = await this.rehearsals.open(id);
    const state =
      rehearsal === undefined
        ? found
        : await endRehearsal(this.rehearsalContext(site), found, rehearsal);
    const open = await this.switches.open(id);
    return open ? recoverSwitch(this.switchContext(site), state, open) : this.#raised(state, site);
  }

  /** As we are alone with it, a move that has announced what it builds and then nothing more is not under way. */
  async #raised(state: CapabilityState, { ends }: Site): Promise<CapabilityState> {
    if (!(await this.store.isBuilding(state.capability))) return state;
    const raised = await this.store.change(
      state,
      { epoch: state.epoch + 1 },
      {
        who: this.options.who,
        event: 'recover',
        why: 'a move that had begun to build was not finished',
        evidence: {},
      },
    );
    for (const side of ends ? [ends.to.source, ends.to.target] : [])
      if (await side.present()) await side.guarded(raised.epoch, () => Promise.resolve());
    return raised;
  }

  switchContext({ definition, ends }: Site): SwitchContext {
    const { store, switches, replicas } = this;
    const { who, log, onStep, interrupts } = this.options;
    return {
      ...{ store, switches, replicas, definition, ends, who, log },
      ...{ ...(onStep && { onStep }), ...(interrupts && { interrupts }) },
      definitionVersion: definitionVersion(definition),
      limits: holdLimits(this.options.migration.facade.hold),
    };
  }

  rehearsalContext({ definition, ends }: Site, why = ''): RehearsalContext {
    const { store, rehearsals, replicas, evidence } = this;
    const { who, onStep } = this.options;
    const { tables } = definition;
    const limits = holdLimits(this.options.migration.facade.hold);
    return { store, rehearsals, replicas, evidence, tables, ends, who, why, onStep, limits };
  }
}
