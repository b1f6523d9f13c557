// Failures that other tools for change data capture have had, each made to happen here and named with
// where it was reported. Those that are tested elsewhere:
//   lost writes from a transaction open at the switch (vitess#9453, #9400), the position read before the
//     lock (#16563), a half-reversed state (#17326), no catch-up (#6951): control/{switch,fence,drain,cut-short}.pg.test.ts
//   the switch allowed while the reverse flow is unusable (vitess#16794): control/switch.pg.test.ts
//   false alarms and blind spots of the comparison, a rogue write at the target (vitess#12859, #9715,
//     #20854, #20876, ghostferry#173, #183, #217): verify.pg.test.ts
//   echoes between two flows (pglogical#210): exactly-once.pg.test.ts; ping-pong of sequences (spock#16), a
//     stale one after a switch (pgcopydb#319): switched-numbers.pg.test.ts
//   a narrowed publication drops rows (dbtrail#828, redpanda-data/connect#4726), schema drift: drift.pg.test.ts
//   duplicate keys after a copy is resumed (pgcopydb#557): test/crash.pg.test.ts, server-kills.pg.test.ts
//   stalls that nobody sees (sequin#2141, #2103): silence.pg.test.ts
//   a transaction crashed in its middle (debezium#4152): exactly-once.pg.test.ts
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect, withClient } from '../core/postgres/connect.ts';
import { copyIn } from '../core/postgres/copy-in.ts';
import { parseLsn } from '../core/postgres/lsn.ts';
import { recopied } from '../test/support/failover.ts';
import { openFlow } from '../test/support/flow.ts';
import { writeLoad, seedShop, shopViews } from '../test/support/load.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { createDatabase } from '../test/support/postgres.ts';
import {
  advanceTo,
  equal,
  logGate,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

/** Written to tables that no flow reads; the reports had a gigabyte and more. */
const BLOAT_MB = Number(process.env['BLOAT_MB'] ?? 24);

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function synced(options: Parameters<typeof startSync>[1] = {}): Promise<void> {
  await advanceTo(pair, 'sync');
  sync = startSync(pair, options);
  await streaming(pair, 'to');
}

interface Slot {
  readonly confirmed: bigint;
  readonly restart: bigint;
  readonly retained: number;
}

async function slot(): Promise<Slot> {
  const { rows } = await pair.monolith.query<Record<keyof Slot, string>>(
    `SELECT confirmed_flush_lsn::text AS confirmed, restart_lsn::text AS restart,
            pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained
       FROM pg_replication_slots WHERE database = current_database()`,
  );
  const [row] = rows;
  return {
    confirmed: parseLsn(row?.confirmed ?? ''),
    restart: parseLsn(row?.restart ?? ''),
    retained: Number(row?.retained),
  };
}

test('writes to tables that are not published, and to other databases, do not make an idle flow hold WAL (readyset#263, risingwave#16697, debezium PR#1082)', async () => {
  await synced();
  const other = await createDatabase('other');
  const bloat = `CREATE TABLE bloat (t text); ALTER TABLE bloat ALTER t SET STORAGE EXTERNAL;
    INSERT INTO bloat SELECT repeat('x', 100000) FROM generate_series(1, ${BLOAT_MB * 5})`;
  try {
    await pair.monolith.query(bloat);
    await withClient(other.url, SESSION, (client) => client.query(bloat));
    await waitFor(
      async () => {
        // The slot moves on at the records that a server writes every 15 seconds, or when it is told.
        await pair.monolith.query('SELECT pg_log_standby_snapshot()');
        return (await slot()).retained < (BLOAT_MB * 1_048_576) / 10;
      },
      { timeoutMs: 30_000, everyMs: 200, what: 'the WAL to be let go' },
    );
  } finally {
    await other.drop();
  }
});

test('what the target does not have yet is never acknowledged, however often the source asks (pg-logical-replication#22, #24, #124)', async () => {
  const gate = logGate();
  await synced({ wrapLog: gate.wrap });
  gate.shut();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'held back', 1)`);
  const { rows } = await pair.monolith.query<{ lsn: string }>(
    'SELECT pg_current_wal_lsn()::text AS lsn',
  );
  const replies = new Set<string>();
  await waitFor(
    async () => {
      const { rows: seen } = await pair.monolith.query<{ at: string }>(
        `SELECT reply_time::text AS at FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
          WHERE s.database = current_database()`,
      );
      for (const { at } of seen) replies.add(at);
      return replies.size > 3;
    },
    { timeoutMs: 30_000, what: 'some status messages' },
  );
  expect((await slot()).confirmed < parseLsn(rows[0]?.lsn ?? '')).toBe(true);
  // A process that starts anew gets it.
  await sync?.stop();
  sync = startSync(pair);
  await equal(pair);
});

test('rows of one COPY, which share an LSN, survive a crash after each of them and none of them is taken for another (debezium PR#3620, #4357, #7531, MaterializeInc/materialize#7557)', async () => {
  await synced();
  await sync?.stop();
  sync = undefined;
  await pair.service.query(`
    CREATE TABLE ledger (id bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN INSERT INTO public.ledger VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note()`);
  const lines = Array.from({ length: 12 }, (_, index) => `${index + 1}\tC${index}\tthe same\t1\n`);
  await copyIn(
    pair.monolith,
    'COPY prd (prd_id, no, nm, prc) FROM STDIN',
    Buffer.from(lines.join('')),
  );
  for (let life = 0, rows = 0; rows < 12; life++) {
    expect(life).toBeLessThan(20);
    const flow = await openFlow(pair, { pieceLimit: 1 });
    const applier = await flow.applier();
    // One row a life; what else was read dies with it.
    for (let applied = false; !applied;) {
      for (const piece of await flow.log.read(AbortSignal.timeout(30_000))) {
        const { changes } = await applier.apply([piece]);
        applied = changes > 0;
        if (applied) break;
      }
    }
    rows = (await pair.service.query('SELECT 1 FROM product')).rows.length;
    await flow.close();
  }
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
  const noted = await pair.service.query(
    'SELECT count(*)::int AS n, count(DISTINCT id)::int AS d FROM ledger',
  );
  expect(noted.rows).toEqual([{ n: 12, d: 12 }]);
});

test.each(['DEFAULT', 'FULL'])(
  'unchanged TOAST values stay, and no old NULL overwrites anything, under REPLICA IDENTITY %s (airbyte#30518, redpanda-data/connect#3106, xtdb#5542, peerdb#3790)',
  async (identity) => {
    await pair.monolith.query(`
      ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL; ALTER TABLE prd REPLICA IDENTITY ${identity};
      INSERT INTO prd (no, nm, dsc, prc) SELECT 'T' || i, 'n', repeat('long', 2500), 1 FROM generate_series(1, 6) i`);
    await synced();
    await pair.monolith.query(`
      UPDATE prd SET nm = 'another column' WHERE prd_id = 1;
      UPDATE prd SET prd_id = 100 WHERE prd_id = 2;
      UPDATE prd SET prd_id = 101, nm = 'both' WHERE prd_id = 3;
      UPDATE prd SET dsc = NULL WHERE prd_id = 4;
      DELETE FROM prd WHERE prd_id = 5;
      UPDATE prd SET dsc = repeat('other', 2500) WHERE prd_id = 6;
      UPDATE prd SET nm = 'after' WHERE prd_id IN (4, 6, 100)`);
    await equal(pair);
    const { service } = await pair.views();
    expect(service).toHaveLength(5);
  },
);

test('writers of a hot row at the target lose nothing to the flow, nor it to them (PostgreSQL CF 5151, spock#599)', async () => {
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('H', 'hot', 1)`);
  await synced();
  await pair.service.query('ALTER TABLE product ADD COLUMN hits integer NOT NULL DEFAULT 0');
  const HITS = 400;
  const hit = async (): Promise<void> => {
    const client = await connect(pair.serviceAppUrl, SESSION);
    for (let done = 0; done < HITS; done++)
      await client.query('UPDATE product SET hits = hits + 1');
    await client.end();
  };
  const change = async (): Promise<void> => {
    for (let done = 0; done < HITS; done++)
      await pair.monolith.query(`UPDATE prd SET nm = 'name ${done}', prc = ${done}`);
  };
  await Promise.all([hit(), hit(), change()]);
  await equal(pair);
  const { rows } = await pair.service.query('SELECT hits FROM product');
  expect(rows).toEqual([{ hits: 2 * HITS }]);
});

test('checkpoints and reconnects in a storm lose nothing, though a slot may start further back (pgsql-hackers: restart_lsn goes backwards)', async () => {
  await seedShop(pair);
  await synced();
  const load = writeLoad(pair, 5, 400);
  let furthest = 0n;
  for (let storm = 0; storm < 12; storm++) {
    await pair.monolith.query('CHECKPOINT');
    await pair.monolith.query(
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database() AND active`,
    );
    await sleep(100 + 20 * storm);
    const { confirmed } = await slot();
    expect(confirmed >= furthest).toBe(true);
    furthest = confirmed;
  }
  await load;
  await streaming(pair, 'to');
  await equal(pair, () => shopViews(pair));
});

test('a transaction that took its numbers first and commits last is not passed by (kamu-cli#1398, eventuous#222)', async () => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  const late = await connect(pair.monolithAppUrl, SESSION);
  await synced();
  await late.query(`BEGIN; INSERT INTO prd (no, nm, prc) VALUES ('early', 'number', 1)`);
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('late', 'number', 1)`);
  await waitFor(
    async () =>
      (await pair.service.query(`SELECT 1 FROM product WHERE sku = 'late'`)).rows.length === 1,
    { timeoutMs: 30_000, what: 'the second one to arrive' },
  );
  await late.query('COMMIT');
  await late.end();
  await equal(pair);
  await streaming(pair, 'to');
});

test('a slot that is lost stops the flow for good; it is copied anew, not taken up behind the hole (MaterializeInc/materialize#14211)', async () => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await synced();
  await sync?.stop();
  await waitFor(
    async () =>
      (
        await pair.monolith.query(
          'SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()',
        )
      ).rows.length === 0,
    { timeoutMs: 30_000, what: 'the server to notice that nobody reads the slot' },
  );
  await pair.monolith.query(`
    UPDATE prd SET nm = 'in the hole' WHERE prd_id = 1; DELETE FROM prd WHERE prd_id = 2;
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`);
  sync = startSync(pair);
  expect((await stopped(pair, 'to')).code).toBe('SLOT_LOST');
  await pair.monolith.query(`UPDATE prd SET nm = 'behind it' WHERE prd_id = 3`);
  await pair.coordinator().resumeFlows('catalog');
  expect((await stopped(pair, 'to')).code).toBe('SLOT_LOST');
  const { rows } = await pair.service.query(`SELECT DISTINCT name FROM product`);
  expect(rows).toEqual([{ name: 'n' }]);
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  await streaming(pair, 'to');
  await equal(pair);
});

test.each([
  [
    'made anew',
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`,
    `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`,
  ],
  ['moved', `SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, undefined],
])('a slot that was %s by somebody else: what it forgot is copied', async (_, first, second) => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await synced();
  await sync?.stop();
  await pair.monolith.query(`
    UPDATE prd SET nm = 'in the hole' WHERE prd_id = 1; DELETE FROM prd WHERE prd_id = 2`);
  await waitFor(
    async () =>
      (
        await pair.monolith.query(
          'SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()',
        )
      ).rows.length === 0,
    { timeoutMs: 30_000, what: 'the server to notice that nobody reads the slot' },
  );
  const { rows } = await pair.monolith.query<{ slot_name: string }>(
    'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
  );
  for (const sql of [first, second])
    if (sql !== undefined) await pair.monolith.query(sql, [rows[0]?.slot_name]);
  await pair.monolith.query(`UPDATE prd SET nm = 'behind it' WHERE prd_id = 3`);
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
  // A slot that only its reader has moved is read on, and nothing is copied.
  await streaming(pair, 'to');
  await sync.stop();
  await pair.service.query('UPDATE banyan.backfill SET rows = 777');
  sync = startSync(pair);
  await streaming(pair, 'to');
  const copied = await pair.service.query('SELECT DISTINCT rows::int FROM banyan.backfill');
  expect(copied.rows).toEqual([{ rows: 777 }]);
});

test('a backlog larger than what waits in memory is worked off while the source is written (planetscale/pgcopydb PR#51)', async () => {
  await synced();
  await sync?.stop();
  await pair.monolith.query(`
    INSERT INTO prd (no, nm, dsc, prc) SELECT 'B' || i, 'backlog', repeat('x', 1000), 1 FROM generate_series(1, 20000) i;
    UPDATE prd SET nm = nm || '!', dsc = dsc || 'y'`);
  sync = startSync(pair);
  const over = new AbortController();
  const writing = (async () => {
    for (let done = 0; !over.signal.aborted; done++) {
      await pair.monolith.query(`UPDATE prd SET prc = ${done} WHERE prd_id % 500 = ${done % 500}`);
      await sleep(5);
    }
  })();
  try {
    await streaming(pair, 'to');
  } finally {
    over.abort();
    await writing;
  }
  await equal(pair);
});

test('a source that was set back by a restored disk stops the flow: what it writes now is not taken for what was lost', async () => {
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 5) i`,
  );
  await synced();
  await sync?.stop();
  // To the flow it is the same: it has taken what the server has not written.
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 5');
  await pair.service.query(
    `UPDATE banyan.checkpoint SET commit_lsn = commit_lsn + 100000000 WHERE flow = 'catalog:to'`,
  );
  sync = startSync(pair);
  const { code, error } = await stopped(pair, 'to');
  expect(code).toBe('FLOW_STOPPED');
  expect(error).toMatch(/was set back to .* lost/);
  await pair.monolith.query(`UPDATE prd SET nm = 'after it' WHERE prd_id = 1`);
  expect(await recopied(pair)).toEqual(['to']);
  await streaming(pair, 'to');
  await equal(pair);
});
