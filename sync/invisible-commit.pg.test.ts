// Hole (a) of a watermark backfill on PostgreSQL: a commit is in the WAL before it is visible. A
// server of our own holds one there: its session waits for a standby that does not exist.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { startEmbedded, type EmbeddedPostgres } from '../core/postgres/embedded.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { equal, logGate, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let server: EmbeddedPostgres;
let pair: Pair;
let held: pg.Client;
let sync: RunningSync | undefined;

beforeAll(async () => {
  server = await startEmbedded({
    like: process.env['BANYAN_TEST_LIKE'],
    ...{ fsync: false, settings: ['synchronous_commit=local'] },
  });
  process.env['BANYAN_TEST_POSTGRES'] = server.url();
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  pair = await createPair();
  held = await connect(pair.monolithAppUrl, SESSION);
  await pair.monolith.query(`
    INSERT INTO prd (no, nm, dsc, prc) SELECT 'N' || i, 'old', 'old', i FROM generate_series(1, 200) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  await standby('nobody');
});

afterEach(async () => {
  await release();
  await sync?.stop();
  await standby('');
  await held.end();
  await pair.close();
});

/** Names the standby that a commit with synchronous_commit = on waits for. */
async function standby(name: string): Promise<void> {
  await pair.monolith.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
  await pair.monolith.query('SELECT pg_reload_conf()');
  await held.query('SELECT 1');
  await waitFor(
    async () => {
      const { rows } = await held.query<{ now: string }>(
        `SELECT current_setting('synchronous_standby_names') AS now`,
      );
      return rows[0]?.now === name;
    },
    { timeoutMs: 30_000, what: 'the server to take up its settings' },
  );
}

/** Commits `text` into the WAL and leaves it invisible; resolves once it is there. */
async function commitUnseen(text: string): Promise<void> {
  await held.query('SET synchronous_commit = on');
  void held.query(text).catch(() => undefined);
  await waitFor(async () => (await waiting()) === 1, {
    timeoutMs: 30_000,
    what: 'the commit to wait for its standby',
  });
}

async function waiting(): Promise<number> {
  const { rows } = await pair.monolith.query(
    `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
  );
  return rows.length;
}

async function release(): Promise<void> {
  await pair.monolith.query(
    `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
  );
}

async function copied(): Promise<number> {
  const { rows } = await pair.service.query<{ rows: string }>(
    `SELECT rows FROM banyan.backfill WHERE source_table = 'public.prd'`,
  );
  return Number(rows[0]?.rows ?? 0);
}

async function arrived(id: number): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await pair.service.query(
        `SELECT 1 FROM product WHERE id = $1 AND name = 'new'`,
        [id],
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the stream to deliver the commit that nobody can see' },
  );
}

async function again(): Promise<void> {
  const { rows } = await pair.monolith.query<{ lsn: string }>(
    'SELECT pg_current_wal_lsn()::text AS lsn',
  );
  // A few windows come and go: each writes two marks.
  await waitFor(
    async () => {
      const { rows: ahead } = await pair.monolith.query<{ ahead: boolean }>(
        'SELECT pg_current_wal_lsn() > $1::pg_lsn + 2000 AS ahead',
        [rows[0]?.lsn],
      );
      return ahead[0]?.ahead;
    },
    { timeoutMs: 30_000, what: 'the copy to go on' },
  );
}

test('a chunk that cannot see a commit which the stream has delivered is read again', async () => {
  const gate = logGate();
  sync = startSync(pair, { wrapLog: gate.wrap });
  await waitFor(async () => (await copied()) >= 7, { timeoutMs: 30_000, what: 'a first chunk' });
  gate.shut();
  const before = await copied();
  expect(before).toBeLessThan(190);
  await commitUnseen(`UPDATE prd SET nm = 'new' WHERE prd_id = 200`);
  gate.open();
  await arrived(200);
  await again();
  await release();
  await streaming(pair, 'to');
  await equal(pair);
  expect((await pair.monolith.query(`SELECT nm FROM prd WHERE prd_id = 200`)).rows).toEqual([
    { nm: 'new' },
  ]);
});

test('a commit that an earlier process delivered and nobody can see yet is not overwritten either', async () => {
  const gate = logGate();
  sync = startSync(pair, { wrapLog: gate.wrap });
  await waitFor(async () => (await copied()) >= 7, { timeoutMs: 30_000, what: 'a first chunk' });
  gate.shut();
  await commitUnseen(`UPDATE prd SET nm = 'new' WHERE prd_id = 200`);
  gate.open();
  await arrived(200);
  await sync.stop();
  sync = startSync(pair);
  await again();
  await release();
  await streaming(pair, 'to');
  await equal(pair);
});
