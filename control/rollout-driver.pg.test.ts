// The driver against a real control database; moves are done by a stand-in that changes the state and
// nothing else, so that each refusal can be had. (test/rollout.pg.test.ts has real processes.)
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createLogger } from '../core/log.ts';
import { BanyanError } from '../core/errors.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import type { AnswerCounts } from './answers.ts';
import { defineMigration } from './define.ts';
import type { Migration, MigrationInput } from './definition.ts';
import { bucketOf, LATENCY_BUCKETS } from './domain/latencies.ts';
import { assertVersion, weightAfter, type MoveRequest, type MoveResult } from './domain/move.ts';
import { TRANSITIONS } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import { Evidence } from './evidence.ts';
import { RolloutDriver } from './rollout-driver.ts';
import { RolloutStore, type RolloutRow } from './rollout-store.ts';
import { openControl, StateStore } from './store.ts';

type Settings = NonNullable<MigrationInput['capabilities'][string]['rollout']>;

let database: TestDatabase;
let control: Knex;
let store: StateStore;
let evidence: Evidence;
let rollouts: RolloutStore;
const moves: string[] = [];

beforeEach(async () => {
  database = await createControl();
  control = openControl(database.url);
  store = new StateStore(control);
  evidence = new Evidence(control);
  rollouts = new RolloutStore(control, () => 0);
  moves.length = 0;
});

afterEach(async () => {
  await control.destroy();
  await database.drop();
});

function migrationOf(rollout: Settings, more: object = {}): Migration {
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

/** Moves by the phase table, as the coordinator would for a capability without tables. */
async function move(request: MoveRequest): Promise<MoveResult> {
  const state = await store.readOne('catalog');
  assertVersion(request, state);
  const outcome = TRANSITIONS[state.phase][request.event];
  if (outcome.kind === 'refused') throw new BanyanError('MOVE_NOT_ALLOWED', outcome.why);
  const weight = weightAfter(request, state, outcome.to);
  const { event, why = '' } = request;
  await store.change(
    state,
    { phase: outcome.to, weight },
    { who: 'test', event, why, evidence: {} },
  );
  moves.push(`${outcome.to} ${weight}`);
  return { capability: 'catalog', from: state.phase, to: outcome.to, weight, gates: [] };
}

let recovers = (): Promise<boolean> => Promise.resolve(false);
const recover = (): Promise<boolean> => recovers();

function driverOf(migration: Migration, mover = move, holder = 'one'): RolloutDriver {
  return new RolloutDriver({
    ...{ migration, rollouts, store, evidence, holder, who: 'test', everyMs: 20, pauseMs: 1 },
    coordinator: { move: mover, recover },
    log: createLogger({}, 'silent'),
  });
}

async function begin(change: Partial<CapabilityState>): Promise<CapabilityState> {
  const entry = { who: 'test', event: 'test', why: '', evidence: {} };
  const state = await store.change(await store.readOne('catalog'), change, entry);
  await rollouts.begin(state, { who: 'test', why: '' });
  return state;
}

const stop = (): AbortSignal => AbortSignal.timeout(20_000);

async function answered(
  version: number,
  path: 'monolith' | 'service',
  count: number,
  failed: number,
): Promise<void> {
  const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
  latencies[bucketOf(10)] = count;
  const about = { capability: 'catalog', route: 'GET /a', kind: 'read' } as const;
  const counts: AnswerCounts = { ...about, version, path, answered: count, failed, latencies };
  await evidence.addAnswers([counts]);
}

/** Both paths answer all the time, under whatever the state is; the service fails so often. */
function traffic(failing: (state: CapabilityState) => number): { end(): Promise<void> } {
  const over = new AbortController();
  const run = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const state = await store.readOne('catalog');
      await answered(state.version, 'monolith', 100, 1);
      await answered(state.version, 'service', 100, failing(state));
    }
  };
  const running = run();
  return {
    end: async () => {
      over.abort();
      await running;
    },
  };
}

async function events(): Promise<string[]> {
  return (await store.journal('catalog'))
    .map(({ event }) => event)
    .filter((one) => one.startsWith('rollout'));
}

test('it walks from the monolith through every share to the cutover, each a line of the journal', async () => {
  await begin({});
  const load = traffic(() => 1);
  const driver = driverOf(migrationOf({ steps: [5, 50], bakeMs: 50 }));
  const row = await driver.run('catalog', stop());
  await load.end();
  expect(row?.status).toBe('done');
  expect(moves).toEqual(['sync 0', 'shadow 0', 'canary 5', 'canary 50', 'cutover 0']);
  expect(await events()).toEqual([
    'rollout started',
    ...moves.map(() => 'rollout step'),
    'rollout done',
  ]);
}, 30_000);

test('a service that fails more takes the traffic back, and the rollout is over', async () => {
  await begin({ phase: 'canary', weight: 25 });
  const load = traffic((state) => (state.weight >= 50 ? 10 : 1));
  const row = await driverOf(migrationOf({ steps: [25, 50], bakeMs: 100 })).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  expect(row?.why).toContain('canary errors');
  expect(moves).toEqual(['canary 50', 'canary 0']);
}, 30_000);

test('reads that go to the service by rule make it leave the canary', async () => {
  const rules = [{ header: 'user-agent', matches: 'iPhone', to: 'service' }];
  await begin({ phase: 'canary', weight: 25 });
  const load = traffic(() => 10);
  const migration = migrationOf({ bakeMs: 60_000 }, { canary: { rules } });
  const row = await driverOf(migration).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'rolled back', phase: 'shadow' });
  expect(moves).toEqual(['canary 0', 'shadow 0']);
}, 30_000);

test('a monolith that has been scaled down gets its reads back step by step', async () => {
  const earlier = await begin({ phase: 'canary', weight: 50 });
  await answered(earlier.version, 'monolith', 10_000, 10);
  await begin({ phase: 'cutover', weight: 0 });
  await control('banyan.rollout').update({
    phase: 'cutover',
    weight: 0,
    version: earlier.version + 1,
  });
  const load = traffic(() => 10);
  const rollback = { steps: [80, 40], everyMs: 200 };
  const row = await driverOf(migrationOf({ bakeMs: 60_000, rollback })).run('catalog', stop());
  await load.end();
  expect(row?.status).toBe('rolled back');
  expect(moves).toEqual(['canary 80', 'canary 40', 'canary 0']);
}, 30_000);

test('where ownership cannot go back it stays, and so does the traffic, and a human is called', async () => {
  const earlier = await begin({ phase: 'canary', weight: 50 });
  await answered(earlier.version, 'monolith', 10_000, 10);
  await begin({ phase: 'cutover', weight: 0 });
  await control('banyan.rollout').update({
    phase: 'cutover',
    weight: 0,
    version: earlier.version + 1,
  });
  const load = traffic(() => 10);
  let asked = 0;
  const refuses = (): Promise<never> => {
    asked += 1;
    return Promise.reject(new BanyanError('SWITCH_UNDONE', 'the way back has not drained'));
  };
  const row = await driverOf(migrationOf({ bakeMs: 60_000 }), refuses).run('catalog', stop());
  await load.end();
  expect(row?.status).toBe('stuck');
  expect(row?.why).toContain('the way back has not drained');
  expect(asked).toBe(20);
  expect(await events()).toContain('rollout way back refused');
  expect((await store.readOne('catalog')).phase).toBe('cutover');
  expect((await events()).at(-1)).toBe('rollout stuck');
}, 30_000);

test('evidence that does not come calls a human, who may let it go on', async () => {
  await begin({ phase: 'canary', weight: 25 });
  const migration = migrationOf({ steps: [25], to: 'canary', bakeMs: 20, waitMs: 100 });
  const row = await driverOf(migration).run('catalog', stop());
  expect(row?.status).toBe('paused');
  expect(row?.why).toContain('canary answers: 0, limit at least 10');
  await rollouts.change(row as RolloutRow, { status: 'running', anew: true, watch: null });
  await answered(row?.version ?? 0, 'monolith', 20, 0);
  await answered(row?.version ?? 0, 'service', 20, 0);
  expect((await driverOf(migration).run('catalog', stop()))?.status).toBe('done');
}, 30_000);

test('while it waits for a human, red still leads back', async () => {
  await begin({ phase: 'canary', weight: 25 });
  const row = await rollouts.read('catalog');
  await rollouts.change(row as RolloutRow, { status: 'paused', why: 'by hand' });
  const load = traffic(() => 10);
  const watched = await driverOf(migrationOf({})).run('catalog', stop(), true);
  await load.end();
  expect(watched).toMatchObject({ status: 'rolled back', weight: 0 });
}, 30_000);

test('a human who moves the capability is obeyed', async () => {
  await begin({ phase: 'canary', weight: 5 });
  const byHand = { capability: 'catalog', event: 'weight', weight: 1 } as const;
  await move(byHand);
  const row = await driverOf(migrationOf({})).run('catalog', stop());
  expect(row).toMatchObject({ status: 'paused', why: 'moved by hand to canary 1 %' });
});

test('a driver that wakes up late moves nothing and writes nothing', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 50 });
  // The first stands still between its decision and its move; the second takes over meanwhile.
  const held = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  let late: unknown;
  const sleepy = async (request: MoveRequest): Promise<MoveResult> => {
    asked.resolve(undefined);
    await held.promise;
    return move(request).catch((error: unknown) => {
      late = error;
      throw error;
    });
  };
  const over = new AbortController();
  const first = driverOf(migration, sleepy, 'first').run('catalog', over.signal);
  await asked.promise;
  await control('banyan.rollout').update({ lease_until: '-infinity' });
  const row = await driverOf(migration, move, 'second').run('catalog', stop());
  expect(row).toMatchObject({ status: 'done', weight: 50 });
  held.resolve(undefined);
  over.abort();
  await first;
  await load.end();
  expect(late).toMatchObject({ code: 'MOVE_IN_PROGRESS' });
  expect(moves).toEqual(['canary 50']);
  expect(await events()).toContain('rollout taken over');
}, 30_000);

test('a driver that died between its move and its word is taken for ours', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const row = await rollouts.read('catalog');
  await rollouts.change(row as RolloutRow, { going: { phase: 'canary', weight: 50 } });
  await move({ capability: 'catalog', event: 'weight', weight: 50 });
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 50 });
  expect((await driverOf(migration).run('catalog', stop()))?.status).toBe('done');
  await load.end();
  expect(await events()).toEqual(['rollout started', 'rollout step', 'rollout done']);
}, 30_000);

test('a pause between its look and its word is not overwritten', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const change = rollouts.change.bind(rollouts);
  let isPaused = false;
  rollouts.change = async (row, what, event) => {
    if (!isPaused && what.watch && what.status === undefined) {
      isPaused = true;
      await change(row, { status: 'paused', why: 'by hand' });
    }
    return change(row, what, event);
  };
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
  const row = await driverOf(migration).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'paused', why: 'by hand', weight: 5 });
  expect(moves).toEqual([]);
}, 30_000);

test('a pause stops a move that was announced and comes late', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const asked: unknown[] = [];
  const sleepy = async (request: MoveRequest): Promise<MoveResult> => {
    const row = (await rollouts.read('catalog')) as RolloutRow;
    await rollouts.change(row, { status: 'paused', why: 'by hand', stops: true });
    return move(request).catch((error: unknown) => {
      asked.push(error);
      throw error;
    });
  };
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
  const row = await driverOf(migration, sleepy).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'paused', why: 'by hand', weight: 5 });
  expect(asked).toMatchObject([{ code: 'MOVE_IN_PROGRESS' }]);
  expect((await store.readOne('catalog')).weight).toBe(5);
}, 30_000);

test('an abort while its move is refused is not overwritten', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  let isAborted = false;
  const refuses = async (request: MoveRequest): Promise<MoveResult> => {
    if (isAborted) return move(request);
    isAborted = true;
    const row = (await rollouts.read('catalog')) as RolloutRow;
    await rollouts.change(row, { status: 'rolling back', why: 'aborted by hand', stops: true });
    throw new BanyanError('PREFLIGHT_FAILED', 'refused');
  };
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
  const row = await driverOf(migration, refuses).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'rolled back', weight: 0 });
}, 30_000);

test('traffic goes back however often that is refused', async () => {
  await begin({ phase: 'canary', weight: 50 });
  const row = await rollouts.read('catalog');
  await rollouts.change(row as RolloutRow, { status: 'rolling back', why: 'red' });
  let asked = 0;
  const refuses = async (request: MoveRequest): Promise<MoveResult> => {
    asked += 1;
    if (asked > 6) return move(request);
    throw new BanyanError('DATABASE_UNREACHABLE', 'the service is down');
  };
  const last = await driverOf(migrationOf({}), refuses).run('catalog', stop());
  expect(last).toMatchObject({ status: 'rolled back', weight: 0 });
  expect((await events()).filter((one) => one === 'rollout way back refused')).toHaveLength(1);
}, 30_000);

test('a step back that is done and fails afterwards is its own', async () => {
  await begin({ phase: 'canary', weight: 50 });
  const row = await rollouts.read('catalog');
  await rollouts.change(row as RolloutRow, { status: 'rolling back', why: 'red' });
  const fails = async (request: MoveRequest): Promise<MoveResult> => {
    await move(request);
    throw new BanyanError('TIMED_OUT', 'a facade has not heard of it');
  };
  const last = await driverOf(migrationOf({}), fails).run('catalog', stop());
  expect(last).toMatchObject({ status: 'rolled back', weight: 0, why: 'red' });
}, 30_000);

test('an advance that is done and fails afterwards is its own', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const fails = async (request: MoveRequest): Promise<MoveResult> => {
    await move(request);
    throw new BanyanError('PREFLIGHT_FAILED', 'what comes after it');
  };
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
  const row = await driverOf(migration, fails).run('catalog', stop());
  await load.end();
  expect(row).toMatchObject({ status: 'done', weight: 50 });
}, 30_000);

test('a gate that refuses the move for too long calls a human', async () => {
  const load = traffic(() => 1);
  await begin({ phase: 'canary', weight: 5 });
  const refuses = (): Promise<never> =>
    Promise.reject(new BanyanError('GATE_REFUSED', 'the gates say no'));
  const migration = migrationOf({ steps: [5, 50], to: 'canary', bakeMs: 0, waitMs: 200 });
  const row = await driverOf(migration, refuses).run('catalog', AbortSignal.timeout(10_000));
  await load.end();
  expect(row).toMatchObject({ status: 'paused', why: 'the gates say no', going: null });
}, 30_000);

test('a switch that nobody is at any more is brought to an end', async () => {
  await begin({ phase: 'canary', weight: 5 });
  const entry = { who: 'test', event: 'test', why: '', evidence: {} };
  await store.change(await store.readOne('catalog'), { holding: true }, entry);
  recovers = async () => {
    await store.change(await store.readOne('catalog'), { holding: false }, entry);
    return true;
  };
  const load = traffic(() => 1);
  const migration = migrationOf({ steps: [5], to: 'canary', bakeMs: 0 });
  const row = await driverOf(migration).run('catalog', AbortSignal.timeout(10_000));
  await load.end();
  expect(row?.status).toBe('done');
}, 30_000);
