// What stands for NULL in a column of which the catalog says that it is NOT NULL.
import { expect, test } from '@jest/globals';
import { numericTypmod } from '../../../test/support/pg-types.ts';
import type { Piece, Relation } from '../change.ts';
import { createDecoder } from './decoder.ts';
import { createEncoder, EXACT_MODES } from './encoder.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceTable } from './source.ts';
import { TableWriter } from './table-writer.ts';

const type = (name: string, typmod = -1) => ({ name, typmod });
const full = { identity: false, notNull: true };
const table: SourceTable = {
  ...{ schema: 'shop', table: 'things', identity: 'default' },
  columns: [
    { name: 'id', type: type('int8'), keyPlace: 1, identity: true, notNull: true },
    { name: 'nm', type: type('text'), ...full },
    { name: 'stk', type: type('int4'), defaultText: '5', ...full },
    { name: 'prc', type: type('numeric', numericTypmod(8, 2)), ...full },
    { name: 'note', type: type('text'), identity: false, notNull: false },
  ],
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'things' },
  columns: table.columns.map(({ name, identity }) => ({ name, key: identity })),
};
const row = ['1', null, null, null, null];

const writerWith = (modes: Modes): TableWriter =>
  new TableWriter('mono.shop.things', relation, table, { ...modes, isOutbox: false });

test.each([
  ["the connector's", DEBEZIUM_DEFAULTS],
  ['our own', EXACT_MODES],
])('in a new row of %s form NULL is null, whatever the catalog says by now', (_, modes) => {
  const written = writerWith(modes).after(row);
  expect(written).toBe('{"id":1,"nm":null,"stk":null,"prc":null,"note":null}');
});

test('in an old row, of which only the key was sent, it is what the connector puts there', () => {
  expect(writerWith(DEBEZIUM_DEFAULTS).before(row)).toBe(
    '{"id":1,"nm":"","stk":5,"prc":"AA==","note":null}',
  );
  expect(writerWith(EXACT_MODES).before(row)).toBe('{"id":1}');
});

test.each([false, true])('a flow reads it as NULL (schemas: %p)', (schemas) => {
  const given = { layout: 'table', tables: () => table } as const;
  const piece: Piece = {
    head: { xid: 731, commitLsn: 100n, commitMs: 1, origin: undefined },
    changes: [{ kind: 'insert', relation, after: row }],
    ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: 110n },
  };
  const of = { prefix: 'mono', database: 'shop', timeline: 3, schemas };
  const [, record] = createEncoder({ ...of, ...given }).encode(piece, 1);
  expect(record && createDecoder(given).decode(record)).toMatchObject({
    change: { kind: 'insert', after: row },
  });
});
