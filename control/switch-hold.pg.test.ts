// Facades that do not acknowledge a switch's hold: one that is busy makes the switch let go and try again,
// however long it takes, and only one whose lease has run out is left to the fence.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  logGate,
  startSync,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';
import type { Coordinator } from './coordinator.ts';
import { Replicas } from './replicas.ts';

/** Registers, beats, and acknowledges whatever it is not too busy for. */
class Edge {
  isBusy = false;
  isSilent = false;
  readonly id: string;
  readonly #ended = new AbortController();
  readonly #silent = Promise.withResolvers<undefined>();
  readonly #running: Promise<void>;

  constructor(id: string) {
    this.id = id;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const replicas = new Replicas(pair.db);
    while (!this.#ended.signal.aborted) {
      if (!this.isSilent) {
        await replicas.heartbeat(this.id);
        const { version, holding } = await pair.store.readOne('catalog');
        if (!(holding && this.isBusy)) await replicas.acknowledge(this.id, 'catalog', version);
      } else this.#silent.resolve(undefined);
      await sleep(20);
    }
    await replicas.leave(this.id);
  }

  /** From now on it says nothing more, and was last heard of so many milliseconds ago. */
  async fallSilent(sinceMs: number): Promise<void> {
    this.isSilent = true;
    await this.#silent.promise;
    await pair
      .db('banyan.replica')
      .where({ id: this.id })
      .update({
        heartbeat_at: pair.db.raw('clock_timestamp() - make_interval(secs => ?)', [
          sinceMs / 1_000,
        ]),
      });
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }
}

let pair: Pair;
let sync: RunningSync;
let gate: LogGate;
let edges: Edge[];
/** Lines of the journal when a test began. */
let before: number;

beforeAll(async () => {
  pair = await createPair();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('N1', 'n', 1)`);
  await advanceTo(pair, 'sync');
  gate = logGate();
  sync = startSync(pair, { wrapLog: gate.wrap });
  await advanceTo(pair, 'canary');
});

afterAll(async () => {
  await sync.stop();
  await pair.close();
});

beforeEach(async () => {
  for (const direction of ['to', 'back'] as const) await streaming(pair, direction);
  before = (await pair.store.journal('catalog')).length;
  edges = [new Edge('one'), new Edge('two')];
  const replicas = new Replicas(pair.db);
  await waitFor(async () => (await replicas.acknowledged('catalog', 0, 0)).live.length === 2, {
    timeoutMs: 30_000,
    what: 'both edges to register',
  });
});

afterEach(async () => {
  gate.open();
  await Promise.all(edges.map((edge) => edge.end()));
});

/** Of a team whose writes wait for three seconds at most. */
function coordinator(onStep?: (step: string) => void | Promise<void>): Coordinator {
  const { migration } = pair;
  const facade = { ...migration.facade, hold: { ...migration.facade.hold, timeoutMs: 3_000 } };
  return pair.coordinator({ migration: { ...migration, facade }, ...(onStep && { onStep }) });
}

async function cutover(by = coordinator()): Promise<unknown> {
  const clean = { missing: 0, extra: 0, different: 0, unsettled: 0, samples: [] };
  await pair.evidence.addVerify({ capability: 'catalog', rows: 1, ...clean });
  return by.move({ capability: 'catalog', event: 'advance' });
}

function edge(id: string): Edge {
  const found = edges.find((one) => one.id === id);
  if (!found) throw new Error(`no edge ${id}`);
  return found;
}

/** Why the last switch let go so far, and what it tells of itself at its end. */
async function told(): Promise<{ lettingGo: string[]; evidence: unknown }> {
  const last = (await pair.store.journal('catalog')).slice(before);
  return {
    lettingGo: last.filter(({ event }) => event === 'unhold').map(({ why }) => why),
    evidence: last.find(({ event }) => event === 'release')?.evidence,
  };
}

test('one that goes on being busy has the switch refused: nobody is held, nothing is fenced', async () => {
  edge('two').isBusy = true;
  await expect(cutover()).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    message: expect.stringContaining('in flight at two'),
  });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  const { rows } = await pair.monolith.query('SELECT owns FROM banyan.ownership');
  expect(rows).toEqual([{ owns: true }]);
  expect((await told()).lettingGo).toEqual(
    Array.from({ length: 3 }, () => 'writes in flight at two'),
  );
});

test('one that is busy for a while is waited for, with nobody held meanwhile, and left behind by nobody', async () => {
  edge('two').isBusy = true;
  const moving = cutover();
  await waitFor(async () => (await told()).lettingGo.length > 0, {
    timeoutMs: 30_000,
    what: 'the switch to let go',
  });
  edge('two').isBusy = false;
  expect(await moving).toMatchObject({ to: 'cutover' });
  const { lettingGo, evidence } = await told();
  expect(evidence).toMatchObject({ leftBehind: [], attempts: lettingGo.length + 1 });
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
});

test('one that falls silent while writers are held is left to the fence once its lease is over', async () => {
  const by = pair.coordinator({
    onStep: (step) => {
      if (step !== 'checked') return;
      edge('two').isBusy = true;
      setTimeout(() => {
        edge('two').isSilent = true;
      }, 100);
    },
  });
  expect(await cutover(by)).toMatchObject({ to: 'cutover' });
  expect((await told()).evidence).toMatchObject({
    ...{ leftBehind: ['two'], replicas: ['one'], attempts: 1 },
  });
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
});

test('where writers would be refused before its lease is over, it is waited for with nobody held', async () => {
  const by = coordinator(async (step) => {
    if (step !== 'checked') return;
    edge('two').isBusy = true;
    // So that it is overdue before writes in flight have been waited for.
    await edge('two').fallSilent(1_500);
  });
  expect(await cutover(by)).toMatchObject({ to: 'cutover' });
  const { lettingGo, evidence } = await told();
  expect(lettingGo).toEqual(['writes in flight at two']);
  expect(evidence).toMatchObject({ leftBehind: ['two'], replicas: ['one'], attempts: 2 });
  expect((evidence as { pauseMs: number }).pauseMs).toBeLessThan(3_000);
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
});

test('a stream that drains too late takes the switch back: those whom facades have refused must not find that it went through', async () => {
  edge('two').isBusy = true;
  const by = coordinator((step) => {
    if (step === 'checked')
      setTimeout(() => {
        edge('two').isBusy = false;
      }, 1_000);
    if (step !== 'held') return;
    gate.shut();
    // Sooner than six seconds, and later than the writers wait.
    setTimeout(() => {
      gate.open();
    }, 2_500);
  });
  await expect(cutover(by)).rejects.toMatchObject({ code: 'SWITCH_UNDONE' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  const { rows } = await pair.monolith.query('SELECT owns FROM banyan.ownership');
  expect(rows).toEqual([{ owns: true }]);
});

test('steps that add up to more than the writers wait take the switch back just before the flip', async () => {
  const by = coordinator((step) => {
    if (step === 'sequences')
      // As a machine that stands still would.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_800);
  });
  await expect(cutover(by)).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    message: expect.stringMatching(/before the flip|to pass the barrier/),
  });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
});

test('without tables no fence stops one that falls silent: the switch is refused, and nobody is held', async () => {
  const { migration } = pair;
  const catalog = migration.capabilities['catalog'];
  if (!catalog) throw new Error('no capability');
  const capabilities = { catalog: { ...catalog, tables: [], leaves: 'nothing' as const } };
  const by = pair.coordinator({
    migration: { ...migration, capabilities },
    onStep: (step) => {
      if (step === 'checked') Object.assign(edge('two'), { isBusy: true, isSilent: true });
    },
  });
  await expect(cutover(by)).rejects.toMatchObject({
    message: expect.stringContaining('nothing is heard of two'),
  });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
});
