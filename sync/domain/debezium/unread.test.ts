import { expect, test } from '@jest/globals';
import type { Change, Relation } from '../change.ts';
import { createDecoder, type Decoded } from './decoder.ts';
import { createEncoder } from './encoder.ts';
import type { SourceTable } from './source.ts';

const column = (name: string, keyPlace?: number) => ({
  ...{ name, type: { name: 'text', typmod: -1 }, identity: true, notNull: false },
  ...(keyPlace !== undefined && { keyPlace }),
});
const outbox: SourceTable = {
  ...{ schema: 'shop', table: 'outbox', identity: 'full' },
  columns: [column('id', 1), column('payload')],
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'outbox' },
  columns: outbox.columns.map(({ name }) => ({ name, key: true })),
};
const row = ['7', 'x'.repeat(2_000_000)];
const CHANGES: readonly Change[] = [
  { kind: 'insert', relation, after: row },
  { kind: 'update', relation, before: row, after: row },
  { kind: 'delete', relation, before: row },
];

const written = createEncoder({
  ...{ prefix: 'mono', database: 'shop', timeline: 3, layout: 'changes', tables: () => outbox },
  unread: new Set(['shop.outbox']),
}).encode(
  {
    head: { xid: 731, commitLsn: 100n, commitMs: 1, origin: undefined },
    ...{ changes: CHANGES, size: CHANGES.length, bytes: 0, firstSeq: 1, endLsn: 110n },
  },
  1,
);

const read = (tables: () => SourceTable | undefined): (() => Decoded)[] => {
  const decoder = createDecoder({ tables, layout: 'changes' });
  return written.slice(1, -1).map((record) => () => decoder.decode({ ...record, topic: 't' }));
};

test('of a table whose rows nobody reads each change has its place, and takes next to nothing', () => {
  expect(Math.max(...written.map(({ value }) => value?.length ?? 0))).toBeLessThan(1_000);
  expect(read(() => undefined).map((decode) => decode())).toEqual(
    [1, 2, 3].map((seq) =>
      expect.objectContaining({
        ...{ kind: 'foreign', schema: 'shop', table: 'outbox' },
        position: { timeline: 3, commitLsn: 100n, seq },
      }),
    ),
  );
});

test('whoever reads it all the same is told, and takes no row for another', () => {
  for (const decode of read(() => outbox))
    expect(decode).toThrow(expect.objectContaining({ code: 'FLOW_STOPPED' }));
});
