import { expect, test } from '@jest/globals';
import type { SourceTable } from './debezium/source.ts';
import { assertRecordKeys, checkRecordKeys, recordKeyOf } from './record-key.ts';

const type = { name: 'int8', typmod: -1 };
const column = (name: string, keyPlace?: number): SourceTable['columns'][number] => ({
  ...{ name, type, identity: false, notNull: true },
  ...(keyPlace !== undefined && { keyPlace }),
});
const table: SourceTable = {
  ...{ schema: 'shop', table: 'lines', identity: 'full' },
  columns: [column('line', 2), column('no'), column('id', 1)],
};
const found = (mapped: readonly string[]) =>
  checkRecordKeys(
    'records of shop',
    [{ label: "monolith's shop.lines", keys: { record: recordKeyOf(table), mapped } }],
    'have one partition',
  );

test('the key of a record has its columns in the order of the index', () => {
  expect(recordKeyOf(table)).toEqual(['id', 'line']);
  expect(recordKeyOf({ columns: [column('a')] })).toEqual([]);
});

test.each([
  ['the same', ['line', 'id']],
  ['one that says more', ['no', 'id', 'line']],
])('a mapping whose key is %s keeps the order of its rows in several partitions', (_, mapped) => {
  expect(found(mapped)).toEqual([]);
  expect(() => {
    assertRecordKeys([table], () => mapped, 'have one partition');
  }).not.toThrow();
});

test.each([
  ['another', ['no']],
  ['a part of it', ['id']],
])('a mapping whose key is %s does not, and is refused', (_, mapped) => {
  const what = `its records go to partitions by (id, line), and the mapping finds rows by (${mapped.join(', ')})`;
  expect(found(mapped)).toEqual([
    {
      ...{ severity: 'error', where: 'records of shop' },
      what: expect.stringContaining(`monolith's shop.lines: ${what}`) as unknown,
      hint: 'Map id, line under key. Or have one partition.',
    },
  ]);
  expect(() => {
    assertRecordKeys([table], (label) => (label === 'shop.lines' ? mapped : []), 'have one');
  }).toThrow(
    expect.objectContaining({
      code: 'FLOW_STOPPED',
      message: expect.stringContaining(`table shop.lines: ${what}`) as unknown,
    }),
  );
});
