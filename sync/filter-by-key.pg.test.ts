// Rows that belong by a column of their key, as those of one tenant do: copied, followed across that line,
// fenced, and carried back after a cutover.
import { afterEach, expect, test } from '@jest/globals';
import { sqlState, withClient } from '../core/postgres/connect.ts';
import { appliersOf, CLEAN, letters, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  streaming,
  type RunningSync,
  type Views,
} from '../test/support/sync.ts';
import { skipLetter } from './letter-box.ts';
import { preflight } from './preflight.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

const SAME = (): Views =>
  viewsOf(
    pair,
    'SELECT tenant, id, nm AS title FROM item WHERE tenant IN (7, 8) ORDER BY tenant, id',
    'SELECT tenant, id, title FROM book ORDER BY tenant, id',
  );

test('the rows of some tenants move, and those of others stay the monolith’s own', async () => {
  pair = await createPair({
    schemas: {
      monolith:
        'CREATE TABLE item (tenant integer, id integer, nm text NOT NULL, PRIMARY KEY (tenant, id))',
      service:
        'CREATE TABLE book (tenant integer, id integer, title text NOT NULL, PRIMARY KEY (tenant, id))',
    },
    capability: {
      tables: [
        {
          monolith: 'item',
          service: 'book',
          key: { tenant: 'tenant', id: 'id' },
          columns: { nm: 'title' },
          where: { tenant: [7, 8] },
        },
      ],
    },
  });
  const same = SAME();
  await pair.monolith.query(
    `INSERT INTO item SELECT t, i, 'n' FROM generate_series(6, 8) t, generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
  await equal(pair, same);
  await pair.monolith.query(`
    UPDATE item SET nm = 'other' WHERE id = 1;
    UPDATE item SET tenant = 9 WHERE tenant = 7 AND id = 2;
    UPDATE item SET tenant = 7, id = 20 WHERE tenant = 6 AND id = 3;
    UPDATE item SET tenant = 8, id = 21 WHERE tenant = 7 AND id = 4;
    DELETE FROM item WHERE id = 5;
    INSERT INTO item VALUES (6, 30, 'new'), (7, 30, 'new')`);
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
  await advanceTo(pair, 'cutover');
  await withClient(pair.monolithAppUrl, SESSION, async (app) => {
    await app.query(
      `INSERT INTO item VALUES (6, 40, 'own'); UPDATE item SET nm = 'own' WHERE tenant = 6`,
    );
    for (const refused of [
      `INSERT INTO item VALUES (7, 40, 'mine')`,
      `UPDATE item SET nm = 'mine' WHERE tenant = 8 AND id = 1`,
      `UPDATE item SET tenant = 6, id = 41 WHERE tenant = 7 AND id = 1`,
      `UPDATE item SET tenant = 7, id = 41 WHERE tenant = 6 AND id = 1`,
      'DELETE FROM item WHERE tenant = 7 AND id = 1',
    ])
      expect(await app.query(refused).then(() => refused, sqlState)).toBe('BN001');
  });
  const others = 'SELECT * FROM item WHERE tenant NOT IN (7, 8) ORDER BY 1, 2';
  const before = (await pair.monolith.query(others)).rows;
  await pair.service.query(`
    INSERT INTO book VALUES (7, 50, 'by the service');
    UPDATE book SET title = 'by the service' WHERE tenant = 7 AND id = 1;
    UPDATE book SET tenant = 8, id = 51 WHERE tenant = 7 AND id = 6;
    DELETE FROM book WHERE tenant = 8 AND id = 1`);
  await equal(pair, same);
  // Rows that the service gives another tenant's keys are no business of the monolith's.
  await pair.service.query(`
    INSERT INTO book VALUES (6, 1, 'strange'); UPDATE book SET tenant = 6, id = 60 WHERE tenant = 7 AND id = 7`);
  const parked = await letters(pair, 2);
  expect(parked.map(({ error }) => error).join('\n')).toMatch(
    /"6" in tenant takes the row out[^]*"6" in tenant takes the row out/,
  );
  for (const { id } of parked) await skipLetter('catalog', appliersOf(pair), 'back', id);
  await pair.service.query(`
    DELETE FROM book WHERE tenant = 6; INSERT INTO book VALUES (7, 7, 'n')`);
  await equal(pair, same);
  expect((await pair.monolith.query(others)).rows).toEqual(before);
  expect(await verified(pair)).toEqual(CLEAN);
});

test('a number that JavaScript does not hold names its rows, and no others', async () => {
  const [own, other] = ['123456789012345678', '123456789012345680'];
  pair = await createPair({
    schemas: {
      monolith: 'CREATE TABLE item (tenant bigint, id integer, nm text, PRIMARY KEY (tenant, id))',
      service:
        'CREATE TABLE book (tenant bigint, id integer, title text, PRIMARY KEY (tenant, id))',
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'item', service: 'book', key: { tenant: 'tenant', id: 'id' } },
          ...{ columns: { nm: 'title' }, where: { tenant: own } },
        },
      ],
    },
  });
  const found = await preflight(pair.migration, pair.connections);
  expect(found.filter(({ severity }) => severity === 'error')).toEqual([]);
  await pair.monolith.query(
    `INSERT INTO item SELECT t, i, 'n' FROM unnest('{${own}, ${other}}'::bigint[]) t, generate_series(1, 5) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await streaming(pair, 'to');
  await pair.monolith.query(`UPDATE item SET nm = 'new' WHERE id = 1`);
  const same = viewsOf(
    pair,
    `SELECT * FROM item WHERE tenant = ${own} ORDER BY id`,
    'SELECT tenant, id, title AS nm FROM book ORDER BY id',
  );
  await equal(pair, same);
  await advanceTo(pair, 'cutover');
  await withClient(pair.monolithAppUrl, SESSION, async (app) => {
    await app.query(`UPDATE item SET nm = 'own' WHERE tenant = ${other}`);
    const refused = app.query(`UPDATE item SET nm = 'mine' WHERE tenant = ${own}`);
    expect(await refused.then(() => undefined, sqlState)).toBe('BN001');
  });
  await pair.service.query(`UPDATE book SET title = 'by the service' WHERE id = 2`);
  await equal(pair, same);
  expect(await verified(pair)).toEqual(CLEAN);
});
