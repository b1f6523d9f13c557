// What a trigger of the target raises, and what its indexes cannot hold, refuses a row and not the flow.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { letters, appliersOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { retryLetters } from './letter-box.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await streaming(pair, 'to');
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

const LONG = `(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i)`;
const raise = (how: string): string => `
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n integer; BEGIN
    IF NEW.name = 'bad' THEN ${how}; END IF; RETURN NEW; END $$;
  CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON product FOR EACH ROW EXECUTE FUNCTION refuse()`;

const REFUSALS: readonly (readonly [string, refuses: string, bad: string, mend: string])[] = [
  [
    'a word of its own',
    raise(`RAISE EXCEPTION 'not with us'`),
    `'bad'`,
    'DROP TRIGGER refuse ON product',
  ],
  [
    'a state of its own',
    raise(`RAISE EXCEPTION 'not with us' USING ERRCODE = 'SHOP1'`),
    `'bad'`,
    'DROP TRIGGER refuse ON product',
  ],
  [
    'a question with two answers',
    raise(`n := (SELECT i FROM generate_series(1, 2) i)`),
    `'bad'`,
    'DROP TRIGGER refuse ON product',
  ],
  ['an index', 'CREATE INDEX names ON product (name)', LONG, 'DROP INDEX names'],
];

test.each(REFUSALS)(
  'a row that is refused by %s is parked, and the rest flows on',
  async (_, refuses, bad, mend) => {
    await pair.service.query(refuses);
    await pair.monolith.query(`
      BEGIN; UPDATE prd SET nm = 'good' WHERE prd_id = 1; UPDATE prd SET nm = ${bad} WHERE prd_id = 2;
      INSERT INTO prd (no, nm, prc) VALUES ('new', ${bad}, 1); COMMIT;
      UPDATE prd SET nm = 'later' WHERE prd_id = 3`);
    const parked = await letters(pair, 2);
    expect(parked.map(({ keys }) => keys)).toEqual([[['2']], [['11']]]);
    // The second transaction may come later than the letters.
    const names = async (): Promise<unknown[]> => {
      const { rows } = await pair.service.query<{ name: string }>(
        'SELECT id::int, name FROM product WHERE id IN (1, 2, 3, 11) ORDER BY 1',
      );
      return rows.map(({ name }) => name);
    };
    await waitFor(async () => (await names()).includes('later'), {
      timeoutMs: 30_000,
      what: 'the second transaction',
    });
    expect(await names()).toEqual(['good', 'n', 'later']);
    await pair.service.query(mend);
    await retryLetters('catalog', appliersOf(pair));
    await letters(pair, 0);
    await equal(pair);
  },
);

test('a delete that ON DELETE RESTRICT refuses goes through by itself once nothing points there', async () => {
  await pair.service.query(`
    CREATE TABLE basket (product_id bigint REFERENCES product ON DELETE RESTRICT); INSERT INTO basket VALUES (3)`);
  await pair.monolith.query('DELETE FROM prd WHERE prd_id = 3');
  await letters(pair, 1);
  await pair.service.query('DELETE FROM basket');
  await letters(pair, 0);
  await equal(pair);
});
