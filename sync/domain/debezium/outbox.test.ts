import { expect, test } from '@jest/globals';
import type { Change, Relation } from '../change.ts';
import { createOutboxRouter, type OutboxSettings } from './outbox.ts';
import type { SourceTable } from './source.ts';

const TYPES = {
  ...{ id: 'uuid', aggregatetype: 'varchar', aggregateid: 'varchar', type: 'varchar' },
  ...{ payload: 'jsonb', version: 'int4', shard: 'int4' },
};
const table: SourceTable = {
  ...{ schema: 'shop', table: 'outbox', identity: 'default' },
  columns: Object.entries(TYPES).map(([name, type]) => ({
    ...{ name, type: { name: type, typmod: -1 } },
    ...{ identity: name === 'id', notNull: false },
  })),
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'outbox' },
  columns: table.columns.map(({ name, identity }) => ({ name, key: identity })),
};
const settings: OutboxSettings = {
  table: 'shop.outbox',
  columns: { id: 'id', key: 'aggregateid', payload: 'payload', routeBy: 'aggregatetype' },
  topic: 'outbox.event.${routedByValue}',
  ...{ additional: [], expandJson: false, tombstoneOnEmpty: false, onUpdate: 'warn' },
};

const row = ['a-1', 'order', '42', 'OrderPaid', '{"sum": 12345678901234567890}', '3', '1'];
const inserted = (after: readonly (string | null)[] = row): Change => ({
  ...{ kind: 'insert', relation, after },
});

const route = (change: Change, more: Partial<OutboxSettings> = {}) =>
  createOutboxRouter({ outboxes: [{ ...settings, ...more }], tables: () => table }).route(
    change,
    '1/0/1/1',
  );

test('an inserted row is one event: topic by type, key by id, the payload alone', () => {
  expect(route(inserted())?.records).toEqual([
    {
      topic: 'outbox.event.order',
      key: '"42"',
      value: JSON.stringify('{"sum": 12345678901234567890}'),
      headers: { id: 'a-1', 'banyan.position': '1/0/1/1' },
    },
  ]);
});

test('a JSON payload can be the value itself, digit by digit', () => {
  expect(route(inserted(), { expandJson: true })?.records[0]?.value).toBe(row[4]);
  const plain = inserted(row.with(4, 'no json'));
  expect(route(plain, { expandJson: true })?.records[0]?.value).toBe('"no json"');
});

test('further columns go where they are placed', () => {
  const records = route(inserted(), {
    additional: [
      { column: 'type', placement: 'header', alias: 'eventType' },
      { column: 'version', placement: 'envelope', alias: 'v' },
      { column: 'shard', placement: 'partition', alias: 'shard' },
    ],
  })?.records;
  expect(records).toMatchObject([{ partition: 1, headers: { id: 'a-1', eventType: 'OrderPaid' } }]);
  expect(JSON.parse(records?.[0]?.value ?? '')).toEqual({ payload: row[4], v: 3 });
});

test('an empty payload is null, or a tombstone where that is wanted', () => {
  const empty = inserted(row.with(4, ''));
  expect(route(empty)?.records[0]?.value).toBe('""');
  expect(route(empty, { tombstoneOnEmpty: true })?.records[0]?.value).toBeNull();
});

test('a deleted row is no event, an updated one is a warning or a stop', () => {
  const before = row;
  expect(route({ kind: 'delete', relation, before })).toEqual({ records: [] });
  const update: Change = { kind: 'update', relation, before: undefined, after: row };
  expect(route(update)).toMatchObject({ records: [], warning: expect.stringContaining('updated') });
  expect(() => route(update, { onUpdate: 'refuse' })).toThrow('only ever inserted');
});

test('other tables are none of its business, and a column that is missing is named', () => {
  const other = { ...relation, table: 'orders' };
  expect(route({ kind: 'insert', relation: other, after: row })).toBeUndefined();
  const columns = { ...settings.columns, payload: 'body' };
  expect(() => route(inserted(), { columns })).toThrow('has no column body');
});

test.each(['-1', '1.5', 'north', '', ' 1', '2147483648', 'NaN'])(
  'a row whose partition is %p cannot be an event, and holds nothing up',
  (shard) => {
    const additional = [{ column: 'shard', placement: 'partition' as const, alias: 'shard' }];
    expect(route(inserted(row.with(6, shard)), { additional })).toEqual({
      records: [],
      unfit: `its shard is no number of a partition: '${shard}'`,
    });
  },
);

test.each(['id', 'aggregatetype'])(
  'a row whose %s is NULL cannot be an event, and holds nothing up',
  (column) => {
    const at = Object.keys(TYPES).indexOf(column);
    const given: (string | null)[] = row.with(at, '');
    expect(route(inserted(given))?.records).toHaveLength(1);
    expect(route(inserted(given.with(at, null)))).toEqual({
      records: [],
      unfit: `its ${column} is NULL`,
    });
  },
);

test('a row of no kind is an event where all go to one topic', () => {
  const bare = inserted(row.map((value, at) => (at === 1 ? null : value)));
  expect(route(bare, { topic: 'shop.events' })?.records).toMatchObject([
    { topic: 'shop.events', key: '"42"', headers: { id: 'a-1' } },
  ]);
  expect(route(bare, { topic: 'shop.${routedByValue}' })).toMatchObject({
    unfit: 'its aggregatetype is NULL',
  });
});

test('what a kind is called is taken as it is', () => {
  const [record] =
    route(inserted(row.with(1, '$&')), { topic: 'a.${routedByValue}' })?.records ?? [];
  expect(record?.topic).toBe('a.__');
});

test('no key and no payload are null, and an event', () => {
  const bare: (string | null)[] = [...row];
  expect(route(inserted(bare.with(2, null).with(4, null)))?.records).toMatchObject([
    { topic: 'outbox.event.order', key: 'null', value: 'null', headers: { id: 'a-1' } },
  ]);
});
