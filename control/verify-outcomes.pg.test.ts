// Which verify run counts: none that looked before the rows were copied, or copied again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { defineMigration } from './define.ts';
import type { Capability } from './definition.ts';
import { evaluateGates } from './domain/gates.ts';
import type { Phase } from './domain/phase.ts';
import { Evidence } from './evidence.ts';
import { gatherFacts } from './gate-facts.ts';
import { openControl, StateStore } from './store.ts';
import { RECOPIED } from './verify-outcomes.ts';
import { VerifyRuns } from './verify-runs.ts';

let database: TestDatabase;
let control: Knex;
let evidence: Evidence;
let store: StateStore;

beforeEach(async () => {
  database = await createControl();
  control = openControl(database.url);
  evidence = new Evidence(control);
  store = new StateStore(control);
});

afterEach(async () => {
  await control.destroy();
  await database.drop();
});

const DATABASE = { capture: 'postgres://a', applier: 'postgres://b', coordinator: 'postgres://c' };
const { catalog } = defineMigration({
  monolith: { upstream: 'http://m', database: DATABASE },
  services: { catalog: { upstream: 'http://s', database: DATABASE } },
  capabilities: {
    catalog: {
      ...{ service: 'catalog', routes: ['/a'] },
      tables: [{ monolith: 'a', service: 'b', key: { id: 'id' }, columns: { x: 'x' } }],
    },
  },
}).capabilities;

async function goes(to: Phase): Promise<void> {
  const entry = { who: 'test', event: 'advance', why: '', evidence: {} };
  await store.change(await store.readOne('catalog'), { phase: to }, entry);
}

async function recopies(capability: string): Promise<void> {
  const entry = { who: 'somebody', event: RECOPIED, why: '', evidence: {} };
  await store.change(await store.readOne(capability), {}, entry);
}

/** A run that compared so many rows, and found them all the same. */
function verified(rows: number, capability = 'catalog'): Promise<void> {
  const found = { missing: 0, extra: 0, different: 0, unsettled: 0, samples: [] };
  return evidence.addVerify({ capability, rows, ...found });
}

const counts = async (): Promise<number | undefined> =>
  (await evidence.lastVerify('catalog'))?.rows;

async function gates(): Promise<string[]> {
  const facts = await gatherFacts(evidence, 'catalog', catalog as Capability, undefined, 'cutover');
  return evaluateGates('canary', 'cutover', facts)
    .filter(({ gate }) => gate.startsWith('verify'))
    .map(({ gate, verdict }) => `${gate}: ${verdict}`);
}

test('a run from before the rows were copied does not count, and one after does', async () => {
  await verified(1);
  await goes('sync');
  expect(await counts()).toBeUndefined();
  expect(await gates()).toEqual(['verify: inconclusive']);
  await verified(2);
  await goes('shadow');
  await goes('canary');
  expect(await counts()).toBe(2);
  expect(await gates()).toEqual(['verify: pass', 'verify age: pass']);
  // Back in the monolith, and begun anew: what is copied now nobody has compared.
  await goes('monolith');
  await goes('sync');
  expect(await counts()).toBeUndefined();
});

test('a run from before all rows are copied again does not count, and one after does', async () => {
  await goes('sync');
  await goes('canary');
  await verified(1);
  await recopies('catalog');
  expect(await counts()).toBeUndefined();
  expect(await gates()).toEqual(['verify: inconclusive']);
  expect((await store.journal('catalog')).at(-1)).toMatchObject({
    ...{ who: 'somebody', event: 'recopy', from: 'canary', to: 'canary' },
  });
  await verified(2);
  expect(await counts()).toBe(2);
  expect(await gates()).toEqual(['verify: pass', 'verify age: pass']);
});

test('what becomes of another capability is no matter', async () => {
  await goes('sync');
  await verified(1);
  await verified(9, 'orders');
  await recopies('orders');
  expect(await counts()).toBe(1);
});

test('one that was cut short before all rows are copied again is not gone on with', async () => {
  await goes('sync');
  const runs = new VerifyRuns(control);
  await runs.begin('catalog', 'the definition');
  await recopies('orders');
  expect(await runs.resume('catalog', 'the definition')).toMatchObject({ kind: 'resumed' });
  await recopies('catalog');
  expect(await runs.resume('catalog', 'the definition')).toMatchObject({
    ...{ kind: 'none', why: expect.stringContaining('copied anew') },
  });
});
