// The server of a target fails over to a standby that lacks its last commits. The source was told that
// they are durable, and sends none of them again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { ask, openReplicated, type Replicated } from '../test/support/failover.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { databaseOf } from './schemas.ts';

let target: Replicated;
let pair: Pair;
let sync: RunningSync | undefined;
let catalog: string;

beforeEach(async () => {
  target = await openReplicated();
  pair = await createPair({
    servers: { service: target.url },
    schemas: {
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, nm text)`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, nm text)`,
    },
    capability: {
      tables: [{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } }],
    },
  });
  catalog = await databaseOf(pair.service);
  await pair.monolith.query(`INSERT INTO m SELECT i, 'n' FROM generate_series(1, 10) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  await pair.close();
  await target.remove();
});

test('what a promoted target lost comes again by a copy', async () => {
  const { primary, standby } = target;
  const there = (url: string): Promise<object[]> =>
    ask(url, 'SELECT id, nm FROM s ORDER BY id').catch(() => []);
  await waitFor(async () => (await there(standby.url(catalog))).length === 10, {
    timeoutMs: 30_000,
    what: 'the standby to have the copy',
  });
  await target.fallBehind();
  await pair.monolith.query(
    `INSERT INTO m VALUES (20, 'late'); UPDATE m SET nm = 'late' WHERE id = 1; DELETE FROM m WHERE id = 2`,
  );
  const source = (): Promise<object[]> =>
    pair.monolith.query<object>('SELECT id, nm FROM m ORDER BY id').then(({ rows }) => rows);
  await waitFor(
    async () =>
      JSON.stringify(await there(primary.url(catalog))) === JSON.stringify(await source()),
    { timeoutMs: 30_000, what: 'the target to have what will be lost' },
  );
  // Also acknowledged to the source, so that it sends none of it again.
  const end = await pair.monolith.query<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND confirmed_flush_lsn >= $1`,
        [end.rows[0]?.lsn],
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the source to hear of it' },
  );
  await target.failOver(async () => {
    expect(await there(standby.url(catalog))).not.toEqual(await source());
  });
  await equal(pair, async () => ({
    monolith: await source(),
    service: await there(standby.url(catalog)),
  }));
});
