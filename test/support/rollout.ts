// A rollout's driver against a real control database; moves are done by a stand-in that changes the state and
// nothing else, so that each refusal can be had. (test/rollout.pg.test.ts has real processes.)
import { afterEach, beforeEach } from '@jest/globals';
import type { Knex } from 'knex';
import { BanyanError } from '../../core/errors.ts';
import { createLogger } from '../../core/log.ts';
import { defineMigration } from '../../control/define.ts';
import type { Capability, Migration, MigrationInput } from '../../control/definition.ts';
import { refuses } from '../../control/domain/gate-result.ts';
import { evaluateGates } from '../../control/domain/gates.ts';
import { bucketOf, LATENCY_BUCKETS } from '../../control/domain/latencies.ts';
import {
  assertVersion,
  gateError,
  weightAfter,
  type MoveRequest,
  type MoveResult,
} from '../../control/domain/move.ts';
import { TRANSITIONS } from '../../control/domain/phase.ts';
import type { CapabilityState } from '../../control/domain/state.ts';
import { Evidence } from '../../control/evidence.ts';
import { gatherFacts } from '../../control/gate-facts.ts';
import { RolloutDriver, type DriverOptions } from '../../control/rollout-driver.ts';
import { RolloutStore, type RolloutRow } from '../../control/rollout-store.ts';
import { openControl, StateStore } from '../../control/store.ts';
import { createControl, type TestDatabase } from './postgres.ts';

type Settings = NonNullable<MigrationInput['capabilities'][string]['rollout']>;
export type Move = (request: MoveRequest) => Promise<MoveResult>;

const ENTRY = { who: 'test', event: 'test', why: '', evidence: {} };

/** A control database for each test of a file. */
export class Driving {
  control!: Knex;
  store!: StateStore;
  evidence!: Evidence;
  rollouts!: RolloutStore;
  #database!: TestDatabase;
  readonly moves: string[] = [];

  constructor() {
    beforeEach(async () => {
      this.#database = await createControl();
      this.control = openControl(this.#database.url);
      this.store = new StateStore(this.control);
      this.evidence = new Evidence(this.control);
      this.rollouts = new RolloutStore(this.control, () => []);
      this.moves.length = 0;
    });
    afterEach(async () => {
      await this.control.destroy();
      await this.#database.drop();
    });
  }

  /** Moves by the phase table, as the coordinator would for a capability without tables. */
  readonly move = async (request: MoveRequest): Promise<MoveResult> => {
    const state = await this.state();
    assertVersion(request, state);
    const outcome = TRANSITIONS[state.phase][request.event];
    if (outcome.kind === 'refused') throw new BanyanError('MOVE_NOT_ALLOWED', outcome.why);
    const weight = weightAfter(request, state, outcome.to);
    const { event, why = '' } = request;
    await this.store.change(state, { phase: outcome.to, weight }, { ...ENTRY, event, why });
    this.moves.push(`${outcome.to} ${weight}`);
    return { capability: 'catalog', from: state.phase, to: outcome.to, weight, gates: [] };
  };

  /** The same behind the gates that the coordinator asks. */
  gated(migration: Migration): Move {
    return async (request) => {
      const { phase } = await this.state();
      const { to = phase } = request;
      const definition = migration.capabilities['catalog'] as Capability;
      const facts = await gatherFacts(this.evidence, 'catalog', definition, undefined, to);
      const gates = evaluateGates(phase, to, facts);
      const refused = gates.filter(refuses);
      if (refused.length > 0) throw gateError(request, to, refused, gates);
      return this.move(request);
    };
  }

  driver(migration: Migration, more: Partial<DriverOptions> & { move?: Move } = {}): RolloutDriver {
    const { move = this.move, ...options } = more;
    const { rollouts, store, evidence } = this;
    return new RolloutDriver({
      ...{ migration, rollouts, store, evidence, holder: 'one', who: 'test' },
      ...{ everyMs: 20, pauseMs: 1 },
      coordinator: { move, recover: () => Promise.resolve(false) },
      log: createLogger({}, 'silent'),
      ...options,
    });
  }

  /** Drives it until it ends, or for a minute. */
  drive(
    migration: Migration,
    more: Partial<DriverOptions> & { move?: Move; stays?: boolean } = {},
  ): Promise<RolloutRow | undefined> {
    const { stays = false, ...options } = more;
    return this.driver(migration, options).run('catalog', AbortSignal.timeout(60_000), stays);
  }

  state(): Promise<CapabilityState> {
    return this.store.readOne('catalog');
  }

  async set(change: Partial<CapabilityState>): Promise<CapabilityState> {
    return this.store.change(await this.state(), change, ENTRY);
  }

  /** Puts the capability there, and begins a rollout. */
  async begin(change: Partial<CapabilityState>): Promise<RolloutRow> {
    await this.rollouts.begin(await this.set(change), { who: 'test', why: '' });
    return this.row();
  }

  /** In the cutover, before which the monolith failed once in a thousand. */
  async beginOwned(): Promise<void> {
    const { version } = await this.set({ phase: 'canary', weight: 50 });
    await this.answered(version, 'monolith', 10_000, 10);
    await this.begin({ phase: 'cutover', weight: 0 });
  }

  async row(): Promise<RolloutRow> {
    return (await this.rollouts.read('catalog')) as RolloutRow;
  }

  async answered(
    version: number,
    path: 'monolith' | 'service',
    answered: number,
    failed: number,
  ): Promise<void> {
    const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
    latencies[bucketOf(10)] = answered;
    const about = { capability: 'catalog', route: 'GET /a', kind: 'read' } as const;
    await this.evidence.addAnswers([{ ...about, version, path, answered, failed, latencies }]);
  }

  /**
   * Runs `work` while both paths answer all the time, under whatever the state is: of a hundred reads one
   * fails at the monolith, and so many at the service.
   */
  async withTraffic<T>(
    failing: (state: CapabilityState) => number,
    work: () => Promise<T>,
  ): Promise<T> {
    const over = new AbortController();
    const run = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const state = await this.state();
        await this.answered(state.version, 'monolith', 100, 1);
        await this.answered(state.version, 'service', 100, failing(state));
      }
    };
    const running = run();
    try {
      return await work();
    } finally {
      over.abort();
      await running;
    }
  }

  async events(): Promise<string[]> {
    return (await this.store.journal('catalog'))
      .map(({ event }) => event)
      .filter((one) => one.startsWith('rollout'));
  }
}

export function rolloutOf(rollout: Settings, more: object = {}): Migration {
  return defineMigration({
    monolith: { upstream: 'http://m' },
    services: { catalog: { upstream: 'http://s' } },
    capabilities: {
      catalog: {
        ...{ service: 'catalog', routes: ['/a'], rollout, ...more },
        gates: { shadowSamples: 0, canarySamples: 10 },
      },
    },
  });
}
