// Into a write canary and out of it by command: who may write at each moment, whatever ends the move.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { dieAt, recovered } from '../test/support/coordinators.ts';
import { leftovers, noteClean, streaming, type LogGate } from '../test/support/sync.ts';
import type { Pair } from '../test/support/pair.ts';
import {
  atRest,
  bothStream,
  gatedItems,
  sameItems,
  type GatedItems,
} from '../test/support/write-canary.ts';
import { waitFor } from '../core/lifecycle.ts';
import type { MoveRequest, MoveResult } from './domain/move.ts';
import { cases } from '../test/support/long.ts';

let items: GatedItems;
let pair: Pair;
let gate: LogGate;

beforeEach(async () => {
  items = await gatedItems();
  pair = items.pair;
  gate = items.sync.gate;
});

afterEach(() => items.close());

const BOTH = ['monolith', 'service'] as const;

function move(request: Omit<MoveRequest, 'capability'>): Promise<MoveResult> {
  return pair.coordinator().move({ capability: 'catalog', ...request });
}

const weigh = (weight: number): Promise<MoveResult> => items.weigh(weight);

async function cutOver(): Promise<MoveResult> {
  await noteClean(pair);
  await bothStream(pair);
  return move({ event: 'advance' });
}

/** Writes at both sides, the same row too. */
async function writeBoth(tag: string): Promise<void> {
  await pair.monolith.query(`INSERT INTO item (tag) VALUES ('m ${tag}')`);
  await pair.service.query(`INSERT INTO article (label) VALUES ('s ${tag}')`);
  await pair.service.query(`UPDATE article SET count = count + 1 WHERE label = 'seed1'`);
  await pair.monolith.query(`UPDATE item SET n = n + 1 WHERE tag = 'seed1'`);
}

test('a weight lets both sides write, another weight changes nothing of that, and none ends it', async () => {
  await atRest(pair, { phase: 'canary', shared: false }, ['monolith']);
  await weigh(5);
  await atRest(pair, { phase: 'canary', weight: 5, shared: true }, BOTH);
  await writeBoth('one');
  const { epoch } = await pair.store.readOne('catalog');
  expect((await weigh(25)).pauseMs).toBeUndefined();
  expect(await pair.store.readOne('catalog')).toMatchObject({ weight: 25, shared: true, epoch });
  await writeBoth('two');
  expect((await weigh(0)).pauseMs).toBeGreaterThan(0);
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
  // Whatever the service wrote is there already.
  const { rows } = await pair.monolith.query(`SELECT tag FROM item WHERE tag LIKE 's %'`);
  expect(rows.length).toBe(2);
  await sameItems(pair);
  for (const table of ['flight', 'ownership'])
    expect(
      (await pair.service.query(`SELECT * FROM banyan.${table} WHERE '${table}' = 'flight'`)).rows,
    ).toEqual([]);
  const events = (await pair.store.journal('catalog')).map((line) => line.event);
  expect(events).toEqual(expect.arrayContaining(['share', 'hold', 'flip', 'release']));
});

test('reads that go back step by step open none on the way, and a weight that rises does', async () => {
  await cutOver();
  await bothStream(pair);
  await move({ event: 'rollback', weight: 80 });
  await atRest(pair, { phase: 'canary', weight: 80, shared: false }, ['monolith']);
  await weigh(40);
  await atRest(pair, { phase: 'canary', weight: 40, shared: false }, ['monolith']);
  await bothStream(pair);
  await weigh(60);
  await atRest(pair, { phase: 'canary', weight: 60, shared: true }, BOTH);
});

test.each([
  ['a weight of 0', { event: 'weight', weight: 0 }],
  ['a rollback', { event: 'rollback' }],
] as const)('without sync back %s is refused before anybody is held', async (_, request) => {
  await weigh(20);
  await bothStream(pair);
  await items.sync.stop();
  await waitFor(
    async () =>
      (await pair.evidence.flows('catalog')).every(({ reportAgeMs }) => reportAgeMs > 3_000),
    { timeoutMs: 30_000, what: 'sync to be silent' },
  );
  const { version } = await pair.store.readOne('catalog');
  await expect(move(request)).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringContaining('sync back'),
  });
  await atRest(pair, { phase: 'canary', weight: 20, shared: true, version }, BOTH);
  const events = (await pair.store.journal('catalog')).map((line) => line.event);
  expect(events).not.toContain('hold');
});

test.each([
  ['a weight of 0', { event: 'weight', weight: 0 }, 'canary'],
  ['a rollback', { event: 'rollback' }, 'shadow'],
] as const)('a sync to that is red keeps nobody in it: %s', async (_, request, phase) => {
  await weigh(20);
  await writeBoth('one');
  await bothStream(pair);
  const applier = `s_${pair.tag}_applier`;
  await pair.service.query(`REVOKE INSERT, UPDATE ON article FROM ${applier}, PUBLIC`);
  await pair.monolith.query(`INSERT INTO item (tag) VALUES ('does not arrive')`);
  const isRed = async (): Promise<boolean> => {
    const lines = await pair.evidence.flows('catalog');
    const line = lines.find(({ direction }) => direction === 'to');
    return line !== undefined && (line.error !== null || (line.parked ?? 0) > 0);
  };
  await waitFor(isRed, { timeoutMs: 30_000, what: 'sync to to be red' });
  await pair.service.query(`INSERT INTO article (label) VALUES ('s two')`);
  await streaming(pair, 'back');
  const { gates } = await move(request);
  const told = gates.filter(({ gate }) => gate.startsWith('sync to'));
  expect(told).toMatchObject([{ advisory: true }]);
  await atRest(pair, { phase, weight: 0, shared: false }, ['monolith']);
  const { rows } = await pair.monolith.query(`SELECT tag FROM item WHERE tag = 's two'`);
  expect(rows).toHaveLength(1);
  // What is asked for again has been mended, and nothing of the last time is in its way.
  await pair.service.query(`GRANT INSERT, UPDATE ON article TO ${applier}`);
  await streaming(pair, 'to');
  if (phase === 'shadow') await move({ event: 'advance' });
  await bothStream(pair);
  await weigh(5);
  await atRest(pair, { phase: 'canary', weight: 5, shared: true }, BOTH);
  await writeBoth('three');
  await bothStream(pair);
  await sameItems(pair);
});

test('answers that one before it waits for in vain are not waited for any more', async () => {
  // As a failover of the monolith leaves them, that has lost the answers.
  await pair.service.query(
    `INSERT INTO banyan.flight (capability, source_table, key, xid) VALUES ('catalog', 'public.article', '{2}', 1)`,
  );
  await pair.monolith.query(
    `INSERT INTO banyan.awaited (flow, source_table, key) VALUES ('catalog:back', 'public.article', '{4}')`,
  );
  await weigh(5);
  await pair.monolith.query('UPDATE item SET n = 7 WHERE id = 2');
  await pair.service.query('UPDATE article SET count = 8 WHERE id = 4');
  await bothStream(pair);
  await bothStream(pair);
  expect(await sameItems(pair)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ id: '2', n: 7 }),
      expect.objectContaining({ id: '4', n: 8 }),
    ]),
  );
});

test('shadow goes into it at once, and a rollback from it ends in shadow', async () => {
  await move({ event: 'rollback' });
  await move({ event: 'advance', weight: 10 });
  await atRest(pair, { phase: 'canary', weight: 10, shared: true }, BOTH);
  await writeBoth('one');
  await move({ event: 'rollback' });
  await atRest(pair, { phase: 'shadow', weight: 0, shared: false }, ['monolith']);
  const rows = await sameItems(pair);
  expect(rows).toEqual(expect.arrayContaining([expect.objectContaining({ tag: 's one' })]));
});

test('it leads to a cutover and that back to a canary, with every write on both sides', async () => {
  await weigh(50);
  await writeBoth('one');
  expect(await cutOver()).toMatchObject({ from: 'canary', to: 'cutover' });
  await atRest(pair, { phase: 'cutover', shared: false }, ['service']);
  await pair.service.query(`INSERT INTO article (label) VALUES ('s two')`);
  await bothStream(pair);
  await move({ event: 'rollback' });
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
  const rows = await sameItems(pair);
  for (const tag of ['m one', 's one', 's two'])
    expect(rows).toEqual(expect.arrayContaining([expect.objectContaining({ tag })]));
});

test('abort of it leaves nothing of ours, with what the service wrote at the monolith', async () => {
  await weigh(30);
  await atRest(pair, { phase: 'canary', weight: 30, shared: true }, BOTH);
  await writeBoth('one');
  expect(await pair.coordinator().abort({ capability: 'catalog' })).toMatchObject({
    ...{ from: 'canary', to: 'monolith', lost: [], serviceLeft: false },
  });
  expect(await pair.store.readOne('catalog')).toMatchObject({
    ...{ phase: 'monolith', shared: false, holding: false, weight: 0 },
  });
  expect(await leftovers(pair)).toEqual([]);
  const { rows } = await pair.monolith.query<{ tag: string; n: number }>(
    `SELECT tag, n FROM item WHERE tag IN ('m one', 's one', 'seed1') ORDER BY tag`,
  );
  expect(rows.map(({ tag }) => tag)).toEqual(['m one', 's one', 'seed1']);
});

test('abort of one whose service does not drain gives up by name what is not there yet', async () => {
  await weigh(30);
  await bothStream(pair);
  gate.shut();
  await pair.service.query(`INSERT INTO article (label) VALUES ('never comes')`);
  const coordinator = pair.coordinator();
  await expect(coordinator.abort({ capability: 'catalog' })).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    hint: expect.stringContaining('--lose-service-writes'),
  });
  await atRest(pair, { phase: 'canary', weight: 30, shared: true }, BOTH);
  expect(await coordinator.abort({ capability: 'catalog', losing: true })).toMatchObject({
    lost: [expect.stringContaining('what the service has written since 2')],
  });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'monolith', shared: false });
  expect(await leftovers(pair)).toEqual([]);
});

test.each(cases(['checked', 'shared'], 'shared'))(
  'one that dies after "%s" on the way in is taken back, with what was written directly meanwhile',
  async (step) => {
    const wake = await dieAt(pair, step, { event: 'weight', weight: 5 });
    if (step === 'shared') await writeBoth('meanwhile');
    await recovered(pair);
    await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
    expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
    await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
    await sameItems(pair);
  },
);

describe.each([
  ['back', { event: 'weight', weight: 0 }],
  ['on to cutover', { event: 'advance' }],
] as const)('on the way %s', (_, request) => {
  beforeEach(async () => {
    await weigh(20);
    await writeBoth('one');
    await noteClean(pair);
    await bothStream(pair);
  });

  test.each(cases(['checked', 'held', 'drained back'], 'drained back'))(
    'one that dies after "%s" is taken back, and both sides write on',
    async (step) => {
      const wake = await dieAt(pair, step, request);
      await recovered(pair);
      await atRest(pair, { phase: 'canary', weight: 20, shared: true }, BOTH);
      await writeBoth('two');
      expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
      await atRest(pair, { phase: 'canary', weight: 20, shared: true }, BOTH);
      await bothStream(pair);
      await bothStream(pair);
      await sameItems(pair);
    },
  );

  test.each(cases(['fenced', 'drained'], 'fenced'))(
    'one that dies after "%s" leaves a canary in which the monolith alone writes',
    async (step) => {
      const wake = await dieAt(pair, step, request);
      await recovered(pair);
      await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
      expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
      await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
      expect(await sameItems(pair)).toEqual(
        expect.arrayContaining([expect.objectContaining({ tag: 's one' })]),
      );
      await weigh(5);
      await atRest(pair, { phase: 'canary', weight: 5, shared: true }, BOTH);
    },
  );

  test.each(cases(['flipped', 'released'], 'flipped'))(
    'one that dies after "%s" is finished',
    async (step) => {
      const wake = await dieAt(pair, step, request);
      await recovered(pair);
      const [phase, owner] =
        request.event === 'advance'
          ? (['cutover', 'service'] as const)
          : (['canary', 'monolith'] as const);
      await atRest(pair, { phase, weight: 0, shared: false }, [owner]);
      await wake();
      await atRest(pair, { phase, weight: 0, shared: false }, [owner]);
      await sameItems(pair);
    },
  );

  test('one that cannot drain in time is taken back, and both sides write on', async () => {
    const coordinator = pair.coordinator({
      onStep: async (step) => {
        if (step !== 'checked') return;
        gate.shut();
        await writeBoth('late');
      },
    });
    await expect(coordinator.move({ capability: 'catalog', ...request })).rejects.toMatchObject({
      code: 'SWITCH_UNDONE',
    });
    await atRest(pair, { phase: 'canary', weight: 20, shared: true }, BOTH);
    gate.open();
    await sameItems(pair);
  });
});

test('another weight than that of a switch that died behind its flip is no second call of it', async () => {
  await weigh(20);
  await bothStream(pair);
  const wake = await dieAt(pair, 'flipped', { event: 'weight', weight: 0 });
  expect(await weigh(25)).toMatchObject({ weight: 25 });
  await atRest(pair, { phase: 'canary', weight: 25, shared: true }, BOTH);
  await wake();
  await atRest(pair, { phase: 'canary', weight: 25, shared: true }, BOTH);
});

test('numbers that both sides may give out are refused before anything is opened', async () => {
  await pair.service.query(`SELECT setval('article_id_seq', 4)`);
  await expect(weigh(5)).rejects.toMatchObject({
    code: 'PREFLIGHT_FAILED',
    hint: expect.stringMatching(/ALTER SEQUENCE/),
  });
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
});

test('what moves while it waits for its flows is not written over: it opens on no other state', async () => {
  await move({ event: 'rollback' });
  gate.shut();
  const opening = move({ event: 'advance', weight: 10 });
  await waitFor(async () => (await pair.store.readOne('catalog')).phase === 'canary', {
    timeoutMs: 30_000,
    what: 'the way back to be built',
  });
  // As a rollout's pause does, or a coordinator that has come to have the lease.
  const state = await pair.store.readOne('catalog');
  await pair.store.change(state, {}, { who: 'test', event: 'pause', why: '', evidence: {} });
  gate.open();
  await expect(opening).rejects.toMatchObject({ code: 'MOVE_IN_PROGRESS' });
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
});
