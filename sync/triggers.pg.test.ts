// The tables' own triggers: they fire for what sync writes, unless the mapping has them passed by.
import { afterEach, expect, test } from '@jest/globals';
import { CLEAN, verified } from '../test/support/mapped.ts';
import { createPair, TABLES, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** Triggers that garble a mapped column, and notes of what else fires. */
const garbling = (table: string, column: string, other: string): string => `
  CREATE FUNCTION garble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.${column} := NEW.${column} || '!'; RETURN NEW; END $$;
  CREATE TRIGGER garble BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION garble();
  CREATE TABLE fired (name text);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.fired VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
  CREATE TRIGGER note AFTER INSERT ON ${other} FOR EACH ROW EXECUTE FUNCTION note();`;

async function start(skip: boolean): Promise<void> {
  const [cat, prd] = TABLES ?? [];
  if (!cat || !prd) throw new Error('no tables');
  pair = await createPair({
    capability: { tables: [cat, { ...prd, ...(skip && { triggers: 'skip' as const }) }] },
  });
}

const fired = async (side: 'monolith' | 'service'): Promise<unknown[]> =>
  (await pair[side].query<object>('SELECT DISTINCT name FROM fired ORDER BY 1')).rows;

test('triggers that are skipped leave alone what sync writes, on both sides; those of other tables fire', async () => {
  await start(true);
  await pair.service.query(garbling('product', 'name', 'category'));
  // A stray row, so that there is something to prune; many, so that they are copied in.
  await pair.service.query(
    `INSERT INTO product (id, sku, name, price_cents, state) VALUES (900, 'stray', 'stray', 1, 'active')`,
  );
  await pair.monolith.query(`
    INSERT INTO cat VALUES (1, 'c'), (2, 'c');
    INSERT INTO prd (no, nm, prc, cat_id) SELECT 'N' || i, 'n', 1, 1 FROM generate_series(1, 300) i`);
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  sync = startSync(pair);
  await streaming(pair, 'to');
  await equal(pair);
  await pair.monolith.query(`
    UPDATE prd SET nm = 'new' WHERE prd_id = 1; DELETE FROM prd WHERE prd_id = 2;
    INSERT INTO prd (no, nm, prc) SELECT 'M' || i, 'n', 1 FROM generate_series(1, 300) i;
    INSERT INTO cat VALUES (3, 'c')`);
  await equal(pair);
  expect(await fired('service')).toEqual([{ name: 'category' }]);
  await pair.service.query('DROP TRIGGER garble ON product');
  await advanceTo(pair, 'cutover');
  await pair.monolith.query(garbling('prd', 'nm', 'cat'));
  await pair.service.query(`
    UPDATE product SET name = 'by the service' WHERE id < 5; INSERT INTO category VALUES (4, 'c');
    TRUNCATE product_text`);
  await equal(pair);
  expect(await fired('monolith')).toEqual([{ name: 'cat' }]);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('preflight wants a decision on a trigger that writes what is mapped, on either side', async () => {
  await start(false);
  await pair.service.query(garbling('product', 'name', 'category'));
  await pair.monolith.query(`
    CREATE FUNCTION count_products() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE public.cat SET nm = 'more' WHERE cat_id = NEW.cat_id; RETURN NULL; END $$;
    CREATE TRIGGER count_products AFTER INSERT ON prd FOR EACH ROW EXECUTE FUNCTION count_products();
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.nm = 'x' THEN NEW.upd = now(); END IF; RETURN NEW; END $$;
    CREATE TRIGGER stamp BEFORE UPDATE ON prd FOR EACH ROW EXECUTE FUNCTION stamp()`);
  const found = (await preflight(pair.migration, pair.connections)).filter(({ what }) =>
    what.startsWith('trigger'),
  );
  expect(found.sort((a, b) => (a.what < b.what ? -1 : 1))).toMatchObject([
    {
      severity: 'error',
      what: expect.stringMatching(
        /count_products of public\.prd \(monolith\).*writes public\.cat,/,
      ) as unknown,
    },
    {
      severity: 'error',
      what: expect.stringMatching(
        /garble of public\.product \(service\).*writes public\.product\.name/,
      ) as unknown,
      hint: expect.stringContaining("triggers: { service: 'skip' }") as unknown,
    },
    {
      severity: 'warning',
      what: expect.stringContaining('note of public.category (service)') as unknown,
    },
    {
      severity: 'warning',
      what: expect.stringContaining('stamp of public.prd (monolith)') as unknown,
    },
  ]);
});

test('what was decided is a finding no more; what skipping leaves unchecked, and a right that it needs, are', async () => {
  await start(true);
  await pair.service.query(garbling('product', 'name', 'category'));
  const applier = new URL(pair.connections.services['catalog']?.database?.applier ?? '').username;
  await pair.service.query(`REVOKE SET ON PARAMETER session_replication_role FROM ${applier}`);
  const found = (await preflight(pair.migration, pair.connections))
    .map(({ what }) => what)
    .join('\n');
  expect(found).not.toMatch(/garble/);
  expect(found).toMatch(
    /triggers of public\.product \(service\) are skipped, and so are foreign keys/,
  );
  expect(found).toMatch(/triggers of public\.prd \(monolith\) are skipped/);
  expect(found).toMatch(/the applier lacks SET on parameter session_replication_role/);
});
