// kill -9 of the real `banyan sync` process, in the middle of the copy and of the stream.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { startBanyan, writeConfig, type Running } from './support/command.ts';
import { createPair, SESSION, type Pair } from './support/pair.ts';
import { connect } from '../core/postgres/connect.ts';

let pair: Pair;
let config: ReturnType<typeof writeConfig>;
let sync: Running | undefined;

beforeEach(async () => {
  pair = await createPair();
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    // Slow enough to be looked at in its middle.
    sync: { ...pair.migration.sync, copyRowsPerSecond: 5_000 },
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
});

afterEach(async () => {
  sync?.child.kill('SIGKILL');
  await sync?.exited;
  config.remove();
  await pair.close();
});

async function restart(): Promise<void> {
  sync?.child.kill('SIGKILL');
  expect(await (sync?.exited ?? 137)).toBe(137);
  sync = startBanyan(['--config', config.file, '--json', '--log-level', 'error', 'sync']);
}

/** Writes to the monolith without a pause until `stop`: inserts, updates, deletes, all in small transactions. */
function load(): { stop(): Promise<number> } {
  const ending = new AbortController();
  const running = (async () => {
    const client = await connect(pair.monolithAppUrl, SESSION);
    let rounds = 0;
    for (; !ending.signal.aborted; rounds++) {
      await client.query(
        `INSERT INTO prd (no, nm, prc, stk) VALUES ('L${rounds}', 'load', ${rounds % 100}, 1)`,
      );
      await client.query(
        `UPDATE prd SET prc = prc + 1, stk = stk + 1 WHERE prd_id = ${1 + ((rounds * 7919) % 20_000)}`,
      );
      if (rounds % 10 === 0) await client.query(`DELETE FROM prd WHERE no = 'L${rounds / 2}'`);
      if (rounds % 25 === 0)
        await client.query(`UPDATE prd SET nm = nm || '!' WHERE prd_id % 5000 = ${rounds % 5000}`);
    }
    await client.end();
    return rounds;
  })();
  return {
    stop: () => {
      ending.abort();
      return running;
    },
  };
}

async function copied(): Promise<{ rows: number; done: boolean }> {
  const line = (await pair.evidence.flows('catalog')).find((one) => one.direction === 'to');
  const tables = line?.backfill ?? [];
  return {
    rows: tables.reduce((sum, one) => sum + one.rows, 0),
    done: tables.length > 0 && tables.every((one) => one.done),
  };
}

test('survives kill -9 in the middle of the copy and of the stream: both sides equal, no row twice', async () => {
  await pair.monolith.query(`
    INSERT INTO cat SELECT i, 'cat ' || i, NULL FROM generate_series(1, 50) i;
    INSERT INTO prd (no, nm, dsc, prc, cat_id)
      SELECT 'N' || i, 'name ' || i, 'text ' || i, i % 1000, 1 + i % 50 FROM generate_series(1, 20000) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  const writing = load();

  const killedAt: number[] = [];
  await restart();
  for (const rows of [1_500, 7_000, 14_000]) {
    await waitFor(async () => (await copied()).rows >= rows, {
      timeoutMs: 90_000,
      everyMs: 10,
      what: `${rows} rows to be copied`,
    });
    killedAt.push((await copied()).rows);
    await restart();
  }
  await waitFor(async () => (await copied()).done, {
    timeoutMs: 90_000,
    what: 'the copy to be done',
  });
  expect(killedAt[0]).toBeLessThan(20_000);

  for (let round = 0; round < 4; round++) {
    const seen = (
      await pair.service.query<{ lsn: string }>(
        `SELECT commit_lsn::text AS lsn FROM banyan.checkpoint`,
      )
    ).rows[0]?.lsn;
    await waitFor(
      async () => {
        const { rows } = await pair.service.query<{ lsn: string }>(
          `SELECT commit_lsn::text AS lsn FROM banyan.checkpoint`,
        );
        return rows[0]?.lsn !== seen;
      },
      { timeoutMs: 30_000, everyMs: 10, what: 'the stream to move on' },
    );
    await restart();
  }
  const rounds = await writing.stop();
  expect(rounds).toBeGreaterThan(100);

  const equal = async (): Promise<boolean> => {
    const { monolith, service } = await pair.views();
    return (
      monolith.length === service.length && JSON.stringify(monolith) === JSON.stringify(service)
    );
  };
  await waitFor(equal, { timeoutMs: 30_000, everyMs: 200, what: 'both sides to be equal' });
}, 400_000);
