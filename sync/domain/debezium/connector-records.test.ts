// Records that a connector writes, and our own relays do not: tables that were routed to one topic, and
// decimals from before their column had a scale.
import { expect, test } from '@jest/globals';
import { numericTypmod } from '../../../test/support/pg-types.ts';
import type { Piece, Relation } from '../change.ts';
import { createDecoder, type Decoded } from './decoder.ts';
import { createEncoder } from './encoder.ts';
import type { OutRecord } from './out-record.ts';
import type { SourceTable } from './source.ts';

const amount = { name: 'numeric', typmod: numericTypmod(12, 2) };
const table: SourceTable = {
  ...{ schema: 'shop', table: 'things', identity: 'default' },
  columns: [
    { name: 'id', type: { name: 'int8', typmod: -1 }, keyPlace: 1, identity: true, notNull: true },
    { name: 'sum', type: amount, identity: false, notNull: false },
    {
      ...{ name: 'sums', identity: false, notNull: false },
      type: { name: '_numeric', typmod: -1, element: amount },
    },
  ],
};
const tables = (name: { readonly table: string }): SourceTable => ({ ...table, table: name.table });

/** What the connector writes of a new row. */
function recordOf(name: string, after: (string | null)[], schemas: boolean): OutRecord {
  const relation: Relation = {
    ...{ schema: 'shop', table: name },
    columns: table.columns.map((one) => ({ name: one.name, key: one.identity })),
  };
  const piece: Piece = {
    head: { xid: 731, commitLsn: 100n, commitMs: 1, origin: undefined },
    changes: [{ kind: 'insert', relation, after }],
    ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: 110n },
  };
  const of = { prefix: 'mono', database: 'shop', timeline: 3, layout: 'table', schemas } as const;
  const [, record] = createEncoder({ ...of, tables }).encode(piece, 1);
  if (!record) throw new Error('no record');
  return { ...record, headers: {} };
}

const NAMES = ['things', 'others', 'things', 'others'];

test('tables whose records have one topic and the very same schema stay apart', () => {
  const records = NAMES.map((name, index): OutRecord => {
    const record = recordOf(name, [String(index), null, null], true);
    const value = record.value?.replaceAll(`mono.shop.${name}`, 'mono.all') ?? null;
    return { ...record, topic: 'mono.all', value };
  });
  expect(new Set(records.map(({ value }) => value?.split(',"payload":')[0])).size).toBe(1);
  const decoder = createDecoder({ layout: 'table', tables });
  expect(records.map((record) => decoder.decode(record))).toMatchObject(
    NAMES.map((name, index) => ({
      change: { kind: 'insert', relation: { table: name }, after: [String(index), null, null] },
    })),
  );
});

test.each([
  ['a decimal', ['1', '12.50', null], '"BOI="'],
  ['one in a list', ['1', null, '{12.50,NULL}'], '"BOI="'],
])(
  '%s that brings its own scale is read by that, and written with the column’s',
  (_, after, scaled) => {
    const record = recordOf('things', after, false);
    expect(record.value).toContain(scaled);
    const value = record.value?.replace(scaled, '{"scale":1,"value":"fQ=="}') ?? null;
    const decoder = createDecoder({ layout: 'table', tables });
    const decoded = (one: string | null): Decoded => decoder.decode({ ...record, value: one });
    expect(decoded(record.value)).toMatchObject({ change: { after } });
    expect(decoded(value)).toMatchObject({ change: { after } });
  },
);
