// Dead letters: a change that the target refuses is parked, later changes of its row wait behind it,
// everything else flows on; and nothing counts as complete until somebody has decided.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { withClient } from '../core/postgres/connect.ts';
import { Parking } from './parking.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import {
  listLetters,
  rereadLetters,
  retryLetters,
  skipLetter,
  type Appliers,
  type LetterLine,
} from './letter-box.ts';

let pair: Pair;
let sync: RunningSync | undefined;
let appliers: Appliers;

beforeEach(async () => {
  pair = await createPair();
  appliers = {
    to: pair.connections.services['catalog']?.database?.applier ?? '',
    back: pair.connections.monolith.database?.applier ?? '',
  };
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function started(): Promise<void> {
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
}

async function synced(): Promise<void> {
  await started();
  await streaming(pair, 'to');
}

async function letters(count: number): Promise<LetterLine[]> {
  return waitFor(
    async () => {
      const found = await listLetters('catalog', appliers);
      return found.length === count ? found : undefined;
    },
    { timeoutMs: 60_000, what: `${count} changes to be parked` },
  );
}

const names = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    (
      await pair.service.query<{ id: string; name: string }>('SELECT id, name FROM product')
    ).rows.map(({ id, name }) => [id, name]),
  );

async function flowsOn(): Promise<void> {
  const sku = `on ${Math.random()}`;
  await pair.monolith.query('INSERT INTO prd (no, nm, prc) VALUES ($1, $2, 1)', [
    sku.slice(0, 20),
    sku.slice(0, 20),
  ]);
  await waitFor(async () => Object.values(await names()).includes(sku.slice(0, 20)), {
    timeoutMs: 30_000,
    what: 'other rows to flow on',
  });
}

test('a refused change is parked with its error, later ones of its row wait, the rest flows on', async () => {
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query(`
    UPDATE prd SET nm = 'before' WHERE prd_id IN (1, 2);
    UPDATE prd SET prc = 5000, nm = 'dear' WHERE prd_id = 1`);
  await letters(1);
  await pair.monolith.query(`UPDATE prd SET prc = 2, nm = 'cheap again' WHERE prd_id = 1`);
  await pair.monolith.query(`UPDATE prd SET nm = 'after' WHERE prd_id = 2`);
  const [first, second] = await letters(2);
  expect(first).toMatchObject({
    direction: 'to',
    table: 'public.prd',
    keys: [['1']],
    change: { kind: 'update', after: { nm: 'dear', prc: '5000.00' } },
    error: expect.stringContaining('cheap') as unknown as string,
  });
  expect(second).toMatchObject({
    keys: [['1']],
    change: { after: { nm: 'cheap again' } },
    error: null,
  });
  await flowsOn();
  // What one source transaction did to other rows is there; the row in question stands still.
  expect(await names()).toMatchObject({ 1: 'before', 2: 'after' });

  // It tries again when told to, and then in source order.
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  expect(await retryLetters('catalog', appliers)).toBe(2);
  await letters(0);
  await equal(pair);
  expect(await names()).toMatchObject({ 1: 'cheap again' });
  await pair.monolith.query(`UPDATE prd SET nm = 'free again' WHERE prd_id = 1`);
  await equal(pair);
});

test('the log says that a change is parked, why, and where to look', async () => {
  const warned: unknown[] = [];
  const quiet = (): void => undefined;
  await advanceTo(pair, 'sync');
  sync = startSync(pair, {
    log: {
      ...{ debug: quiet, info: quiet, error: quiet },
      warn: (_message: string, fields: unknown) => warned.push(fields),
    } as never,
  });
  await streaming(pair, 'to');
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  await letters(1);
  await waitFor(() => warned.length > 0, { timeoutMs: 30_000, what: 'a warning' });
  expect(warned).toEqual([
    {
      ...{ capability: 'catalog', direction: 'to', parked: 1 },
      why: expect.stringContaining('cheap') as unknown,
      hint: expect.stringContaining('banyan sync show catalog') as unknown,
    },
  ]);
});

test('as long as a change is parked nothing counts as complete: no watermark, no gate, no switch', async () => {
  await synced();
  await advanceTo(pair, 'canary');
  await streaming(pair, 'back');
  await pair.evidence.addVerify({
    capability: 'catalog',
    rows: 1,
    missing: 0,
    extra: 0,
    different: 0,
    unsettled: 0,
    samples: [],
  });
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  const watermark = async (): Promise<string | null | undefined> =>
    (await pair.evidence.flows('catalog')).find((one) => one.direction === 'to')?.watermark;
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  await letters(1);
  // The report that tells of it has the watermark as it stands from now on.
  await waitFor(
    async () => (await pair.evidence.flows('catalog')).some(({ parked }) => parked === 1),
    { timeoutMs: 30_000, what: 'the report' },
  );
  const stood = await watermark();
  await flowsOn();
  expect(await watermark()).toBe(stood);
  const advance = (): Promise<unknown> =>
    pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  await expect(advance()).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringContaining('sync to parked') as unknown as string,
  });
  await skipLetter('catalog', appliers, 'to', (await letters(1))[0]?.id ?? '');
  await streaming(pair, 'to');
  // The gate has passed, and then a change is parked in the middle of the switch.
  const late = pair.coordinator({
    onStep: async (step) => {
      if (step === 'checked')
        await pair.monolith.query('UPDATE prd SET prc = 6000 WHERE prd_id = 2');
    },
  });
  await expect(late.move({ capability: 'catalog', event: 'advance' })).rejects.toMatchObject({
    code: 'SWITCH_UNDONE',
    message: expect.stringContaining('1 changes parked') as unknown as string,
  });
  expect((await pair.store.readOne('catalog')).phase).toBe('canary');
  await pair.monolith.query(`UPDATE prd SET nm = 'still the owner' WHERE prd_id = 3`);
});

test('a row whose change was given up is read again as it is now', async () => {
  await synced();
  await pair.monolith.query(`UPDATE prd SET sts = 'Q', nm = 'unknown' WHERE prd_id = 1`);
  await pair.monolith.query(
    `INSERT INTO prd (prd_id, no, nm, prc, sts) VALUES (77, 'new', 'new', 1, 'Q')`,
  );
  await letters(2);
  await pair.monolith.query(`DELETE FROM prd WHERE prd_id = 77`);
  const found = await letters(3);
  expect(found.map(({ error }) => error?.includes('"Q" is not among') ?? null)).toEqual([
    true,
    true,
    null,
  ]);
  await pair.monolith.query(`UPDATE prd SET sts = 'D', nm = 'known' WHERE prd_id = 1`);
  await letters(4);
  // A retry alone does not help: what could not be mapped still cannot.
  await retryLetters('catalog', appliers);
  await waitFor(async () => (await listLetters('catalog', appliers))[0]?.attempts === 2, {
    timeoutMs: 30_000,
    what: 'the retry',
  });
  await rereadLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
  expect(await names()).toMatchObject({ 1: 'known' });
});

test('a delete that another table’s foreign key refuses goes through once that is gone', async () => {
  await synced();
  await pair.service.query(
    `CREATE TABLE wish (product_id bigint REFERENCES product); INSERT INTO wish VALUES (4)`,
  );
  await pair.monolith.query('DELETE FROM prd WHERE prd_id IN (4, 5)');
  expect(await letters(1)).toMatchObject([{ keys: [['4']], change: { kind: 'delete' } }]);
  // The number is given out again at the source meanwhile.
  await pair.monolith.query(
    `INSERT INTO prd (prd_id, no, nm, prc) VALUES (4, 'again', 'again', 1)`,
  );
  await letters(2);
  await pair.service.query('DELETE FROM wish');
  await retryLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
});

test('a retry is not held up by what its row was in between', async () => {
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query(`UPDATE prd SET no = 'passed on', prc = 5000 WHERE prd_id = 1`);
  await letters(1);
  await pair.monolith.query(`UPDATE prd SET no = 'kept', prc = 5 WHERE prd_id = 1`);
  await letters(2);
  // What it had meanwhile belongs to another one by now.
  await pair.monolith.query(`UPDATE prd SET no = 'passed on' WHERE prd_id = 2`);
  await flowsOn();
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
});

test('what is parked survives the process, and is tried again when the next one starts', async () => {
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  await letters(1);
  await sync?.stop();
  expect(await listLetters('catalog', appliers)).toHaveLength(1);
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  await pair.monolith.query('UPDATE prd SET prc = 5001 WHERE prd_id = 1');
  sync = startSync(pair);
  await letters(0);
  await equal(pair);
});

test('rows of the copy that are refused are parked, and the copy goes on', async () => {
  await pair.monolith.query(`UPDATE prd SET sts = 'Q' WHERE prd_id IN (3, 7)`);
  // No watermark need ever come: with something parked it stands still.
  await started();
  expect((await letters(2)).map(({ keys }) => keys)).toEqual([[['3']], [['7']]]);
  expect(Object.keys(await names())).toHaveLength(8);
  await pair.monolith.query(`UPDATE prd SET sts = 'A' WHERE prd_id IN (3, 7)`);
  await letters(4);
  await rereadLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
});

test('a row of the copy that was refused goes in when it is tried again, asked for or by itself', async () => {
  await pair.service.query(`
    ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000);
    CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.stock := NULL; RETURN NEW; END $$;
    CREATE TRIGGER lose BEFORE INSERT ON product FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION lose()`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 7');
  await started();
  expect(await letters(2)).toMatchObject([
    { keys: [['3']], position: 'copy' },
    { keys: [['7']], position: 'copy' },
  ]);
  // What a missing value refused is tried again without a word, and what the check refuses stays.
  await pair.service.query('DROP TRIGGER lose ON product');
  expect(await letters(1)).toMatchObject([{ keys: [['7']] }]);
  await flowsOn();
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
  await streaming(pair, 'to');
});

test('constraints that wait for the end of a transaction are not mistaken for refusals', async () => {
  await pair.service.query(`
    ALTER TABLE product DROP CONSTRAINT product_sku_key;
    ALTER TABLE product ADD CONSTRAINT product_sku_key UNIQUE (sku) DEFERRABLE INITIALLY DEFERRED`);
  await pair.monolith.query(`
    ALTER TABLE prd DROP CONSTRAINT prd_no_key;
    ALTER TABLE prd ADD CONSTRAINT prd_no_key UNIQUE (no) DEFERRABLE INITIALLY DEFERRED`);
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  // Two swap their numbers, a third is refused for good: all in one transaction.
  await pair.monolith.query(`
    BEGIN; UPDATE prd SET no = 'N2' WHERE prd_id = 1; UPDATE prd SET no = 'N1' WHERE prd_id = 2;
    UPDATE prd SET prc = 9999 WHERE prd_id = 3; COMMIT`);
  expect(await letters(1)).toMatchObject([{ keys: [['3']] }]);
  const { rows } = await pair.service.query(
    'SELECT id::int, sku FROM product WHERE id < 3 ORDER BY id',
  );
  expect(rows).toEqual([
    { id: 1, sku: 'N2' },
    { id: 2, sku: 'N1' },
  ]);
});

test('a change that waited behind one that was given up is not forgotten', async () => {
  await synced();
  await pair.service.query(
    `ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000) NOT VALID`,
  );
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  const [letter] = await letters(1);
  await pair.monolith.query(`UPDATE prd SET prc = 3, nm = 'right again' WHERE prd_id = 1`);
  await letters(2);
  // As the flow sees it when somebody skips in the very moment.
  await pair.service.query('DELETE FROM banyan.parked WHERE id = $1', [letter?.id]);
  await letters(0);
  await equal(pair);
});

test('a truncate takes along what was parked of the table', async () => {
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  await letters(1);
  await pair.monolith.query(
    `BEGIN; TRUNCATE prd, ordl; INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'new', 'new', 1); COMMIT`,
  );
  await letters(0);
  await equal(pair);
  await pair.monolith.query(`UPDATE prd SET nm = 'free' WHERE prd_id = 1`);
  await equal(pair);
});

test('parts of one row wait together', async () => {
  await synced();
  await advanceTo(pair, 'cutover');
  await pair.monolith.query(`ALTER TABLE prd ADD CONSTRAINT cheap CHECK (prc < 1000)`);
  await pair.service.query(`
    BEGIN; INSERT INTO product (id, sku, name, price_cents, state) VALUES (500, 'dear', 'dear', 500000, 'active');
    INSERT INTO product_text VALUES (500, 'its text'); COMMIT`);
  expect(await letters(2)).toMatchObject([
    { direction: 'back', table: 'public.product', error: expect.any(String) as unknown },
    { direction: 'back', table: 'public.product_text', error: null },
  ]);
  await pair.monolith.query('ALTER TABLE prd DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliers);
  await letters(0);
  await equal(pair);
});

test('a letter that the mapping cannot read any more fails by itself, not with the flow', async () => {
  await synced();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 100000)`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id IN (1, 2)');
  await letters(2);
  await pair.service.query(`
    ALTER TABLE product DROP CONSTRAINT cheap;
    UPDATE banyan.parked SET change = jsonb_set(change, '{columns}', (change->'columns') - 'prd_id') WHERE id = 1`);
  await retryLetters('catalog', appliers);
  expect(await letters(1)).toMatchObject([
    { keys: [['1']], attempts: 2, error: expect.stringContaining('prd_id') as unknown },
  ]);
  await flowsOn();
});

test('a row that is missing is put in, and the others are not written twice for it', async () => {
  await synced();
  await pair.service.query(`
    CREATE TABLE ledger (id bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN INSERT INTO public.ledger VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION note()`);
  await withClient(appliers.to, SESSION, (client) =>
    client.query('DELETE FROM product WHERE id = 5'),
  );
  await pair.monolith.query(`UPDATE prd SET nm = 'all of them'`);
  await equal(pair);
  const { rows } = await pair.service.query('SELECT id::int FROM ledger ORDER BY id');
  expect(rows.map((row: { id: number }) => row.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('more parked changes than the limit stop the flow, and nothing of them is kept', async () => {
  await synced();
  const parking = new Parking('catalog:to', () => ['public.product'], 1);
  const relation = { schema: 'public', table: 'prd', columns: [{ name: 'prd_id', key: true }] };
  for (const key of ['1', '2'])
    parking.stage({
      table: 'public.prd',
      keys: [[key]],
      change: { kind: 'delete', relation, before: [key] },
      mode: 'owner',
      position: '0/0/1',
      commitMs: 0,
      error: { message: 'refused', sqlState: null },
    });
  await expect(parking.write(pair.service)).rejects.toMatchObject({ code: 'FLOW_STOPPED' });
  expect(await listLetters('catalog', appliers)).toEqual([]);
});
