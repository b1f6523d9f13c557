// Parked changes beside a copy: of each row either they or what the copy reads leads to what it is now.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { appliersOf, letters } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { retryLetters } from './letter-box.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

test('a change that is parked does not outlive its row where the stream has not told of its end', async () => {
  const plain = 'CREATE TABLE ev (id integer, at integer, v text, PRIMARY KEY (id, at))';
  pair = await createPair({
    schemas: {
      monolith: `${plain} PARTITION BY RANGE (at); CREATE TABLE ev_0 PARTITION OF ev FOR VALUES FROM (0) TO (10);
        CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (10) TO (20)`,
      service: plain,
    },
    capability: {
      tables: [{ monolith: 'ev', service: 'ev', key: { id: 'id', at: 'at' }, columns: { v: 'v' } }],
    },
  });
  await pair.monolith.query(`INSERT INTO ev SELECT i, i, 'v' FROM generate_series(1, 19) i`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.service.query(`ALTER TABLE ev ADD CONSTRAINT good CHECK (v <> 'bad')`);
  await pair.monolith.query(`UPDATE ev SET v = 'bad' WHERE id IN (5, 15)`);
  await letters(pair, 2);
  await pair.monolith.query('TRUNCATE ev_0');
  // What is still there is refused again; what is gone is nobody's any more.
  await waitFor(
    async () => (await pair.service.query('SELECT 1 FROM ev WHERE at < 10')).rowCount === 0,
    { timeoutMs: 30_000, what: 'the copy without the partition' },
  );
  expect((await letters(pair, 1)).map(({ keys }) => keys)).toEqual([[['15', '15']]]);
  await pair.service.query('ALTER TABLE ev DROP CONSTRAINT good');
  await retryLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  await streaming(pair, 'to');
  const rows = async (side: 'monolith' | 'service'): Promise<unknown[]> =>
    (await pair[side].query<object>('SELECT * FROM ev ORDER BY id')).rows;
  await equal(pair, async () => ({
    monolith: await rows('monolith'),
    service: await rows('service'),
  }));
});

test('a row whose delete is parked before its table is copied, and that is put in again, is not lost', async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
  await pair.service.query(`
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF OLD.id = 3 THEN RAISE EXCEPTION 'it is kept'; END IF; RETURN OLD; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON product FOR EACH ROW EXECUTE FUNCTION keep()`);
  const coordinator = pair.coordinator();
  await coordinator.move({ capability: 'catalog', event: 'rollback' });
  await coordinator.pauseFlows('catalog', '', 'copy');
  await coordinator.move({
    ...{ capability: 'catalog', event: 'advance', to: 'sync', replaceTarget: true },
  });
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 3');
  await letters(pair, 1);
  await pair.monolith.query(
    `INSERT INTO prd (prd_id, no, nm, prc) VALUES (3, 'again', 'again', 3)`,
  );
  await letters(pair, 2);
  await coordinator.resumeFlows('catalog', '', 'copy');
  await waitFor(
    async () =>
      (await pair.service.query(`SELECT 1 FROM banyan.backfill WHERE stage <> 'done'`)).rowCount ===
      0,
    { timeoutMs: 30_000, what: 'the copy to be done' },
  );
  await pair.service.query('DROP TRIGGER keep ON product');
  await retryLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  await streaming(pair, 'to');
  await equal(pair);
});
