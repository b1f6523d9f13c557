// The new owner goes on numbering rows where nobody has numbered any yet, whichever way its numbers go, and whether
// or not they are keys.
import { expect, test } from '@jest/globals';
import { advanceTo, noteClean, startSync } from '../test/support/sync.ts';
import { bothStream, createItems, ITEMS } from '../test/support/write-canary.ts';

test.each([
  ['up', ITEMS.schemas, 40n],
  [
    'down',
    {
      monolith: ITEMS.schemas.monolith.replace('START 2 INCREMENT 2', 'START -2 INCREMENT -2'),
      service: ITEMS.schemas.service.replace('START 1 INCREMENT 2', 'START -1 INCREMENT -2'),
    },
    -40n,
  ],
])('numbers that go %s', async (_, schemas, last) => {
  const pair = await createItems({ schemas, capability: { canary: { writes: false } } });
  const sync = startSync(pair);
  try {
    await advanceTo(pair, 'canary');
    await noteClean(pair);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    const { rows } = await pair.service.query<{ id: string }>(
      `INSERT INTO article (label) VALUES ('new') RETURNING id`,
    );
    const id = BigInt(rows[0]?.id ?? 0);
    // Behind all others, and odd as the service's numbers are.
    expect(last > 0n ? id > last : id < last).toBe(true);
    expect(id % 2n === 0n).toBe(false);
  } finally {
    await sync.stop();
    await pair.close();
  }
});

test('numbers in a key of several columns go past those that no sequence has given', async () => {
  const pair = await createItems({
    schemas: {
      monolith: `CREATE TABLE item (tenant integer, id bigint, tag text, PRIMARY KEY (tenant, id));
        INSERT INTO item SELECT 1, i, 't' FROM generate_series(1, 300) i`,
      service: `CREATE TABLE article (tenant integer, id bigserial, label text, PRIMARY KEY (tenant, id))`,
    },
    capability: {
      canary: { writes: false },
      tables: [
        {
          ...{ monolith: 'item', service: 'article', key: { tenant: 'tenant', id: 'id' } },
          columns: { tag: 'label' },
        },
      ],
    },
  });
  const sync = startSync(pair);
  try {
    await advanceTo(pair, 'canary');
    await noteClean(pair);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    const { rows } = await pair.service.query<{ id: string }>(
      `INSERT INTO article (tenant, label) VALUES (1, 'new') RETURNING id`,
    );
    expect(Number(rows[0]?.id)).toBeGreaterThan(300);
  } finally {
    await sync.stop();
    await pair.close();
  }
});

test.each([
  ['without an index go past the other side’s sequence', '', 500],
  ['with one go past a number that no sequence has given as well', 'UNIQUE', 900],
])('numbers that are no keys %s', async (_, unique, last) => {
  const pair = await createItems({
    schemas: {
      monolith: `CREATE TABLE item (id bigint PRIMARY KEY, tag text, no bigserial ${unique})`,
      service: `CREATE TABLE article (id bigint PRIMARY KEY, label text, number bigserial ${unique})`,
    },
    capability: {
      canary: { writes: false },
      tables: [
        {
          ...{ monolith: 'item', service: 'article', key: { id: 'id' } },
          columns: { tag: 'label', no: 'number' },
        },
      ],
    },
  });
  const sync = startSync(pair);
  try {
    await pair.monolith.query(`
      INSERT INTO item (id, tag) SELECT i, 't' FROM generate_series(1, 10) i;
      SELECT setval('item_no_seq', 500);
      INSERT INTO item VALUES (11, 'by hand', 900)`);
    await advanceTo(pair, 'canary');
    await noteClean(pair);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    const { rows } = await pair.service.query<{ number: string }>(
      `INSERT INTO article (id, label) VALUES (12, 'new') RETURNING number`,
    );
    expect(Number(rows[0]?.number)).toBeGreaterThan(last);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
    const back = await pair.monolith.query<{ no: string }>(
      `INSERT INTO item VALUES (13, 'newer') RETURNING no`,
    );
    expect(Number(back.rows[0]?.no)).toBeGreaterThan(Number(rows[0]?.number));
  } finally {
    await sync.stop();
    await pair.close();
  }
});

test('numbers that the side before gives without a sequence are looked for where no index tells them', async () => {
  const pair = await createItems({
    schemas: {
      monolith: 'CREATE TABLE item (id bigint PRIMARY KEY, no bigint)',
      service: 'CREATE TABLE article (id bigint PRIMARY KEY, number bigserial)',
    },
    capability: {
      canary: { writes: false },
      tables: [
        { monolith: 'item', service: 'article', key: { id: 'id' }, columns: { no: 'number' } },
      ],
    },
  });
  const sync = startSync(pair);
  try {
    await pair.monolith.query('INSERT INTO item VALUES (1, 900)');
    await advanceTo(pair, 'canary');
    await noteClean(pair);
    await bothStream(pair);
    await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
    const { rows } = await pair.service.query<{ number: string }>(
      'INSERT INTO article (id) VALUES (2) RETURNING number',
    );
    expect(Number(rows[0]?.number)).toBeGreaterThan(900);
  } finally {
    await sync.stop();
    await pair.close();
  }
});
