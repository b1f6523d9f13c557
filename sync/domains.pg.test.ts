// Columns whose type is a domain: what is assigned there is checked as the domain says, and never cut to fit.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { appliersOf, CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { retryLetters } from './letter-box.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (id integer PRIMARY KEY, code text, amount numeric)',
      service: `CREATE DOMAIN short AS varchar(5); CREATE DOMAIN shorter AS short CHECK (value <> 'never');
                CREATE DOMAIN cents AS numeric(6,2);
                CREATE TABLE item (id integer PRIMARY KEY, code shorter, amount cents)`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'item', service: 'item', key: { id: 'id' } },
          columns: { code: 'code', amount: 'amount' },
        },
      ],
    },
  });
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

test('what is too long for a domain is parked, from the copy and from the stream, and told of beforehand', async () => {
  const same = viewsOf(
    pair,
    'SELECT id, code, amount::numeric(6,2) FROM item ORDER BY id',
    'SELECT id, code, amount::numeric(6,2) FROM item ORDER BY id',
  );
  expect((await preflight(pair.migration, pair.connections)).map(({ what }) => what)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^code \(text\) → code \(character varying\(5\)\)/),
      expect.stringMatching(/^amount \(numeric\) → amount \(numeric\(6,2\)\)/),
    ]),
  );
  await pair.monolith.query(`INSERT INTO item VALUES (1, 'abcdefgh', 1.5), (2, 'fits', 2)`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await letters(pair, 1);
  await pair.monolith.query(
    `INSERT INTO item VALUES (3, 'too long', 1); INSERT INTO item VALUES (4, 'never', 1)`,
  );
  await letters(pair, 3);
  await pair.monolith.query(`UPDATE item SET code = 'ok' WHERE id <> 2`);
  await retryLetters('catalog', appliersOf(pair));
  await streaming(pair, 'to');
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
});
