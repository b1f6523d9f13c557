// How often a change travels under a write canary, and what verify makes of rows that are in flight.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { scalar } from '../control/participant.ts';
import { conflicts, openCanary, settled, type Canary } from '../test/support/sharing.ts';
import { equal } from '../test/support/sync.ts';
import { writeAt } from '../test/support/two-writers.ts';
import { listLetters } from './letter-box.ts';
import { verify } from './verify.ts';

let canary: Canary;

afterEach(async () => {
  await canary.close();
});

test('each change travels once each way, and what comes back writes nothing', async () => {
  canary = await openCanary();
  const { pair, catalog, shop, travelled } = canary;
  const count = (table: string): number => travelled.get(table) ?? 0;
  const before = { product: count('product'), prd: count('prd') };
  await pair.service.query(`
    CREATE TABLE heard (id bigint);
    CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN INSERT INTO public.heard VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER hear AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION hear()`);
  for (let turn = 0; turn < 100; turn++) {
    await catalog.query('UPDATE product SET price_cents = price_cents + 1 WHERE id = 1');
    await shop.query('UPDATE prd SET prc = prc + 1 WHERE prd_id = 2');
  }
  await settled(pair);
  await settled(pair);
  await equal(pair);
  expect(await conflicts(pair)).toEqual([]);
  // The service's own there and back; the owner's there, and back as an echo that is dropped.
  expect(count('prd') - before.prd).toBe(200);
  const { rows } = await pair.service.query<{ own: number; others: number }>(
    'SELECT count(*) FILTER (WHERE id = 1)::int AS own, count(*) FILTER (WHERE id = 2)::int AS others FROM heard',
  );
  expect(rows[0]?.own).toBe(100);
  expect(count('product') - before.product).toBe(100 + (rows[0]?.others ?? 0));
});

test('verify raises no false alarm while both sides write the same rows', async () => {
  canary = await openCanary();
  const { pair } = canary;
  const over = new AbortController();
  const running = Promise.all([
    writeAt('monolith', pair, 1, over.signal, { pauseMs: 150 }),
    writeAt('service', pair, 2, over.signal, { pauseMs: 150 }),
  ]);
  const definition = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!definition || !monolith || !service) throw new Error('no databases');
  expect(
    await verify({ id: 'catalog', capability: definition, monolith, service, chunkRows: 5 }),
  ).toMatchObject({ missing: 0, extra: 0, different: 0 });
  over.abort();
  await running;
});

test('what the owner says of a row that collides with one in flight waits until that is judged', async () => {
  canary = await openCanary();
  const { pair, shop, catalog } = canary;
  await pair.service.query(`
    CREATE SEQUENCE tries;
    CREATE FUNCTION try() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
      $$ BEGIN PERFORM nextval('tries'); RETURN NEW; END $$;
    CREATE TRIGGER try BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.id = 60) EXECUTE FUNCTION try()`);
  // The way back stands still.
  await pair.monolith.query('BEGIN; LOCK TABLE banyan.checkpoint IN EXCLUSIVE MODE');
  await catalog.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (61, 'SAME', 'service', 1, 'active')`,
  );
  await shop.query(`INSERT INTO prd (prd_id, no, nm, prc) VALUES (60, 'SAME', 'owner', 1)`);
  await waitFor(
    async () => Number(await scalar(pair.service, 'SELECT last_value FROM tries')) > 60,
    { timeoutMs: 100_000, what: 'more tries than others have' },
  );
  const appliers = {
    to: pair.connections.services['catalog']?.database?.applier ?? '',
    back: pair.connections.monolith.database?.applier ?? '',
  };
  expect(await listLetters('catalog', appliers)).toEqual([]);
  await pair.monolith.query('COMMIT');
  await settled(pair);
  await settled(pair);
  await equal(pair);
  expect(await canary.names([60, 61])).toEqual(['owner']);
});
