import { describe, expect, test } from '@jest/globals';
import type { Piece, Relation } from '../change.ts';
import { createEncoder } from './encoder.ts';
import type { OutRecord } from './out-record.ts';
import type { SourceTable } from './source.ts';

describe('a value that its form has no place for', () => {
  const type = (name: string) => ({ name, typmod: -1 });
  const odd: SourceTable = {
    ...{ schema: 'shop', table: 'odd', identity: 'default' },
    columns: [
      { name: 'id', type: type('int8'), keyPlace: 1, identity: true, notNull: true },
      { name: 'opens', type: type('time'), identity: false, notNull: false },
    ],
  };
  const shape: Relation = {
    ...{ schema: 'shop', table: 'odd' },
    columns: odd.columns.map(({ name, identity }) => ({ name, key: identity })),
  };
  const row: Piece = {
    head: { xid: 731, commitLsn: 100n, commitMs: 1, origin: undefined },
    changes: [{ kind: 'insert', relation: shape, after: ['1', 'half past nine'] }],
    ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: 110n },
  };
  const encoded = (layout: 'changes' | 'table', outboxes: string[]): OutRecord[] =>
    createEncoder({
      ...{ prefix: 'mono', database: 'shop', timeline: 3, layout, tables: () => odd },
      outboxes: new Set(outboxes),
    }).encode(row, 1);

  test.each(['changes', 'table'] as const)('ends layout %s, and is named', (layout) => {
    expect(() => encoded(layout, [])).toThrow(
      expect.objectContaining({
        code: 'FLOW_STOPPED',
        message: expect.stringMatching(/^a value of column "opens" of shop\.odd cannot be written/),
      }),
    );
  });

  test.each(['changes', 'table'] as const)('stops nobody in layout %s in an outbox', (layout) => {
    const written = encoded(layout, ['shop.odd']).map(({ value }) => value);
    expect(written).toContainEqual(expect.stringContaining('"opens":"half past nine"'));
  });
});
