// Rehearsals: what they measure, who they name and who they do not, and that whoever dies in one leaves
// nobody held and nobody noted.
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { recovered } from '../test/support/coordinators.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { loseLease } from '../test/support/stand-still.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { Replicas } from './replicas.ts';

let pair: Pair;
let sync: RunningSync;
let facade: pg.Client;
let batch: pg.Client;
let service: pg.Client;

beforeAll(async () => {
  pair = await createPair();
  facade = await connect(pair.monolithAppUrl, SESSION);
  batch = await connect(pair.monolithAppUrl, { applicationName: 'nightly-prices' });
  service = await connect(pair.serviceAppUrl, { applicationName: 'reindex' });
  await facade.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
});

afterAll(async () => {
  await sync.stop();
  for (const client of [facade, batch, service]) await client.end();
  await pair.close();
});

beforeEach(async () => {
  await streaming(pair, 'to');
});

/** Nobody is held, everybody may write what he owns, and no write is noted any more. */
async function atRest(phase: 'canary' | 'cutover' = 'canary'): Promise<void> {
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase, holding: false });
  const side = phase === 'canary' ? 'monolith' : 'service';
  if (side === 'monolith') await facade.query(`UPDATE prd SET nm = nm || 'm' WHERE prd_id = 1`);
  else await service.query(`UPDATE product SET name = name || 's' WHERE id = 1`);
  const { rows } = await pair[side].query('SELECT count(*)::int AS noted FROM banyan.bypass');
  expect(rows).toEqual([{ noted: 0 }]);
}

/** Runs `work` at one step of a rehearsal. */
function during(step: string, work: () => Promise<unknown>) {
  return pair.coordinator({
    onStep: async (done) => {
      if (done === step) await work();
    },
  });
}

test('it measures hold, locks and drain, and a quiet database has nobody to name', async () => {
  const replicas = new Replicas(pair.db);
  const stop = new AbortController();
  const acknowledging = (async () => {
    while (!stop.signal.aborted) {
      await replicas.heartbeat('edge-1');
      const { version } = await pair.store.readOne('catalog');
      await replicas.acknowledge('edge-1', 'catalog', version);
      await sleep(5);
    }
  })();
  try {
    await waitFor(async () => (await replicas.acknowledged('catalog', 0, 0)).live.length > 0, {
      timeoutMs: 30_000,
      what: 'the replica to register',
    });
    const report = await pair.coordinator().rehearse('catalog');
    expect(report).toMatchObject({
      phase: 'canary',
      owner: 'monolith',
      attempts: 1,
      replicas: [{ replica: 'edge-1' }],
      unheard: [],
      bypasses: [],
    });
    expect(report.pauseMs).toBe(report.holdMs + report.lockMs + report.drainMs);
    expect(report.pauseMs).toBeGreaterThan(0);
    expect(report.replicas[0]?.acknowledgedMs).toBeLessThanOrEqual(report.holdMs);
  } finally {
    stop.abort();
    await acknowledging;
    await replicas.leave('edge-1');
  }
  await atRest();
});

test('who changes a moving column during the hold is named; others are not', async () => {
  const writes = async (): Promise<void> => {
    // A rolled back change, a staying column and the same values again are nobody's business.
    await facade.query(`BEGIN; DELETE FROM prd WHERE prd_id = 9; ROLLBACK`);
    await facade.query(`UPDATE prd SET stk = stk + 1, nm = nm WHERE prd_id = 2`);
    await batch.query(`UPDATE prd SET prc = prc + 1`);
    await batch.query(`UPDATE prd SET prc = prc + 1 WHERE prd_id = 3`);
    await batch.query(`BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO cat VALUES (70, 'c');
      SAVEPOINT one; DELETE FROM cat WHERE cat_id = 70; COMMIT`);
  };
  const report = await during('noting', writes).rehearse('catalog');
  const line = { application: 'nightly-prices', login: `m_${pair.tag}_app`, address: '127.0.0.1' };
  expect(report.bypasses).toMatchObject([
    { ...line, table: 'public.cat', operation: 'delete', transactions: 1 },
    { ...line, table: 'public.cat', operation: 'insert', transactions: 1 },
    { ...line, table: 'public.prd', operation: 'update', transactions: 2 },
  ]);
  expect(report.bypasses[2]?.pids).toHaveLength(1);
  await atRest();
});

test.each(['held', 'released'])(
  'a write at "%s", before the window or after it, is not taken for one beside the facade',
  async (step) => {
    const report = await during(step, () =>
      facade.query(`UPDATE prd SET nm = 'through the facade' WHERE prd_id = 4`),
    ).rehearse('catalog');
    expect(report.bypasses).toEqual([]);
    await atRest();
  },
);

test('a transaction that is still open when the hold ends is named once it commits', async () => {
  const coordinator = pair.coordinator({
    onStep: async (step) => {
      if (step === 'drained') await batch.query(`BEGIN; UPDATE prd SET nm = 'b' WHERE prd_id = 5`);
      if (step === 'released') await batch.query('COMMIT');
    },
  });
  const { bypasses } = await coordinator.rehearse('catalog');
  expect(bypasses).toMatchObject([{ application: 'nightly-prices', transactions: 1 }]);
  await atRest();
});

test.each(['held', 'noting', 'drained', 'released', 'stopped'])(
  'one whose coordinator dies after "%s" is ended by the next, and it does no harm when it wakes up',
  async (step) => {
    const sleeping = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    const dead = during(step, async () => {
      reached.resolve(undefined);
      await sleeping.promise;
    })
      .rehearse('catalog')
      .catch((error: unknown) => error);
    await reached.promise;
    await loseLease(pair);
    await recovered(pair);
    await atRest();
    sleeping.resolve(undefined);
    expect(await dead).toMatchObject({ code: 'STALE_COORDINATOR' });
    await atRest();
  },
);

test('a step that fails releases the writers at once', async () => {
  const failing = during('drained', () => Promise.reject(new Error('a failpoint')));
  await expect(failing.rehearse('catalog')).rejects.toThrow('a failpoint');
  await atRest();
});

test('a replica that stays silent ends it, because what it forwards could be anybody’s', async () => {
  const replicas = new Replicas(pair.db);
  const stop = new AbortController();
  const beating = (async () => {
    while (!stop.signal.aborted) {
      await replicas.heartbeat('mute');
      await sleep(200);
    }
  })();
  try {
    await waitFor(async () => (await replicas.acknowledged('catalog', 0, 0)).live.length > 0, {
      timeoutMs: 30_000,
      what: 'the replica to register',
    });
    await expect(pair.coordinator().rehearse('catalog')).rejects.toMatchObject({
      code: 'TIMED_OUT',
      message: expect.stringContaining('mute'),
    });
  } finally {
    stop.abort();
    await beating;
    await replicas.leave('mute');
  }
  await atRest();
});

test('the way back is rehearsed at the service', async () => {
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
  const report = await during('noting', () =>
    service.query(`UPDATE product SET name = 'r' WHERE id = 6`),
  ).rehearse('catalog');
  expect(report).toMatchObject({
    owner: 'service',
    bypasses: [{ application: 'reindex', table: 'public.product', operation: 'update' }],
  });
  await atRest('cutover');
});
