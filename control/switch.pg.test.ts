// Switches of ownership that are interrupted: whoever dies at whichever step, and whoever wakes up
// late, there is one owner afterwards, nobody is held, and no write is lost.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { dieAt, recovered } from '../test/support/coordinators.ts';
import {
  advanceTo,
  equal,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { ownerOf, type Phase } from './domain/phase.ts';

let pair: Pair;
let sync: RunningSync;
let shop: pg.Client;
let catalog: pg.Client;

beforeAll(async () => {
  pair = await createPair();
  shop = await connect(pair.monolithAppUrl, SESSION);
  catalog = await connect(pair.serviceAppUrl, SESSION);
  await shop.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
});

afterAll(async () => {
  await sync.stop();
  await shop.end();
  await catalog.end();
  await pair.close();
});

beforeEach(async () => {
  if ((await pair.store.readOne('catalog')).phase === 'cutover') {
    await streaming(pair, 'back');
    await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  }
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
});

afterEach(async () => {
  await equal(pair);
});

/** The state is at rest in `phase`, and exactly its owner can write. */
async function atRest(phase: Phase): Promise<void> {
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase, holding: false });
  const write = {
    monolith: () => shop.query(`UPDATE prd SET nm = nm || 'm' WHERE prd_id = 1`),
    service: () => catalog.query(`UPDATE product SET name = name || 's' WHERE id = 1`),
  };
  const owner = ownerOf(phase);
  await write[owner]();
  await expect(write[owner === 'monolith' ? 'service' : 'monolith']()).rejects.toMatchObject({
    code: 'BN001',
  });
}

test.each(['checked', 'held', 'fenced', 'drained', 'sequences'])(
  'a cutover whose coordinator dies after "%s" is undone, and it does no harm when it wakes up',
  async (step) => {
    const wake = await dieAt(pair, step, { event: 'advance' });
    await recovered(pair);
    await atRest('canary');
    expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
    await atRest('canary');
  },
);

test('a coordinator that wakes up in the middle of its successor’s switch changes nothing of it', async () => {
  const wakeFirst = await dieAt(pair, 'held', { event: 'advance' });
  await recovered(pair);
  const wakeSecond = await dieAt(pair, 'sequences', { event: 'advance' });
  expect(await wakeFirst()).toMatchObject({ code: 'STALE_COORDINATOR' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: true });
  await expect(shop.query(`UPDATE prd SET nm = 'lost'`)).rejects.toMatchObject({ code: 'BN001' });
  await wakeSecond();
  await atRest('cutover');
});

test.each(['flipped', 'unfenced', 'released'])(
  'a cutover whose coordinator dies after "%s" is finished',
  async (step) => {
    const wake = await dieAt(pair, step, { event: 'advance' });
    await recovered(pair);
    await atRest('cutover');
    await wake();
    await atRest('cutover');
  },
);

test.each(['held', 'fenced', 'sequences'])(
  'a rollback whose coordinator dies after "%s" is undone',
  async (step) => {
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    await streaming(pair, 'back');
    const wake = await dieAt(pair, step, { event: 'rollback' });
    await recovered(pair);
    await atRest('cutover');
    expect(await wake()).toMatchObject({ code: 'STALE_COORDINATOR' });
  },
);

test('the command that was cut short after its flip finishes it when it is run again, and goes no further', async () => {
  const wake = await dieAt(pair, 'flipped', { event: 'advance' });
  const result = await waitFor(
    () =>
      pair
        .coordinator()
        .move({ capability: 'catalog', event: 'advance' })
        .catch(() => undefined),
    { timeoutMs: 30_000, what: 'the lease to be free' },
  );
  expect(result).toMatchObject({ from: 'canary', to: 'cutover' });
  await atRest('cutover');
  await wake();
});

test.each(['held', 'fenced', 'drained'])(
  'a step that fails after "%s" takes the switch back at once',
  async (step) => {
    const coordinator = pair.coordinator({
      onStep: (done) => {
        if (done === step) throw new Error('a failpoint');
      },
    });
    await expect(
      coordinator.move({ capability: 'catalog', event: 'advance' }),
    ).rejects.toMatchObject({ code: 'SWITCH_UNDONE' });
    await atRest('canary');
  },
);

test('a flip whose answer is lost counts', async () => {
  let lost = false;
  const db = new Proxy(pair.db, {
    get(target, property, receiver): unknown {
      const value: unknown = Reflect.get(target, property, receiver);
      if (property !== 'transaction') return value;
      return async (work: (db: Knex.Transaction) => Promise<{ phase?: string }>) => {
        const result = await target.transaction(work);
        if (result.phase === 'cutover' && !lost) {
          lost = true;
          throw new Error('Connection terminated unexpectedly');
        }
        return result;
      };
    },
  });
  await pair.coordinator({ db }).move({ capability: 'catalog', event: 'advance' });
  expect(lost).toBe(true);
  await atRest('cutover');
});
