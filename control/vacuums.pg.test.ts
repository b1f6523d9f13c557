// Who is in the way of a switch and not the coordinator's to end: vacuums of the server's own, which give way by
// themselves; the applier; prepared transactions, where they are at the tables at all. On a server that has them.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient, connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { openFor } from '../test/support/queues.ts';
import { ownServer, type OwnServer } from '../test/support/servers.ts';
import type { BlockerPolicy } from './domain/move.ts';
import { Participant } from './participant.ts';
import { unblock } from './unblock.ts';

let server: OwnServer;
let pair: Pair;
let side: Participant;
const said: string[] = [];

beforeAll(async () => {
  server = await ownServer({
    settings: ['max_prepared_transactions=5', 'autovacuum_naptime=1s'],
  });
  await server.start();
});

afterAll(async () => {
  await server.remove();
});

beforeEach(async () => {
  said.length = 0;
  pair = await createPair({ servers: { monolith: server.url() } });
  const logins = pair.connections.monolith.database;
  if (!logins) throw new Error('no logins');
  side = await Participant.open({
    ...{ capability: 'catalog', side: 'monolith', logins },
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
    tables: pair.migration.capabilities['catalog']?.tables ?? [],
  });
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
});

afterEach(async () => {
  await side.close();
  await pair.close();
});

function clear(policy: BlockerPolicy): Promise<string[]> {
  const warn = ((_: string, about: { blocker: string }) => {
    said.push(about.blocker);
  }) as never;
  return unblock({ sides: [side], policy, log: { warn } });
}

test('a prepared transaction is in the way where it is at the tables, and nowhere else', async () => {
  await pair.monolith.query(
    `CREATE TABLE elsewhere (id integer); BEGIN; INSERT INTO elsewhere VALUES (1); PREPARE TRANSACTION 'elsewhere'`,
  );
  expect(await clear('refuse')).toEqual([]);
  await pair.monolith.query(`BEGIN; UPDATE prd SET nm = 'p'; PREPARE TRANSACTION 'here'`);
  for (const policy of ['refuse', 'cancel'] as const)
    await expect(clear(policy)).rejects.toMatchObject({
      code: 'GATE_REFUSED',
      message: expect.stringMatching(/prepared transaction here of/),
    });
  await pair.monolith.query(`ROLLBACK PREPARED 'here'`);
  await pair.monolith.query(`ROLLBACK PREPARED 'elsewhere'`);
  expect(await clear('refuse')).toEqual([]);
});

test('what the applier has under way is named, and not ended', async () => {
  await pair.monolith.query(`GRANT pg_signal_backend TO m_${pair.tag}_coordinator`);
  const applier = await connect(pair.connections.monolith.database?.applier ?? '', SESSION);
  try {
    await openFor(applier, `UPDATE prd SET nm = 'applied'`, 2_100);
    await expect(clear('cancel')).rejects.toMatchObject({
      code: 'GATE_REFUSED',
      message: expect.stringContaining(`_applier`),
    });
    await applier.query('COMMIT');
  } finally {
    await applier.end();
  }
  expect(await clear('cancel')).toEqual([]);
});

test('a vacuum of the server’s own gives way, whatever the policy, and without any right to end it', async () => {
  await withClient(pair.monolithAppUrl, SESSION, (client) =>
    client.query(`
      ALTER TABLE prd SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
      INSERT INTO prd (no, nm, prc) SELECT 'N' || i, repeat('n', 200), 1 FROM generate_series(1, 5000) i;
      UPDATE prd SET nm = nm || 'x'`),
  );
  const working = async (): Promise<{ old: boolean }[]> =>
    (
      await pair.monolith.query<{ old: boolean }>(
        `SELECT clock_timestamp() - a.xact_start > '2.1 s' AS old FROM pg_stat_activity a JOIN pg_locks l USING (pid)
          WHERE a.backend_type = 'autovacuum worker' AND l.relation = 'prd'::regclass`,
      )
    ).rows;
  await waitFor(async () => (await working()).some(({ old }) => old), {
    ...{ timeoutMs: 40_000, what: 'a vacuum to be at the table' },
  });
  // None comes after it.
  await pair.monolith.query('ALTER SYSTEM SET autovacuum = off');
  await pair.monolith.query('SELECT pg_reload_conf()');
  expect((await side.blockers(0)).join()).toContain('autovacuum');
  expect(await clear('refuse')).toEqual([]);
  expect(await working()).toEqual([]);
});
