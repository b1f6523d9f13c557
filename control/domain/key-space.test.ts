import { expect, test } from '@jest/globals';
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import type { MappedTable } from './mapped-table.ts';
import { mayCollide, unproven } from './key-space.ts';

const sequence = { name: 's', increment: 2n, last: 1n };

test('sequences that never meet', () => {
  expect(mayCollide(sequence, { ...sequence, last: 2n })).toBe(false);
  expect(mayCollide(sequence, { ...sequence, last: 3n })).toBe(true);
  expect(mayCollide(sequence, { ...sequence, increment: -2n, last: -2n })).toBe(false);
  expect(mayCollide(sequence, { ...sequence, last: null })).toBe(true);
});

const NUMBER = { type: 'bigint', reference: false, sequence };

function schemaOf(table: string, columns: Record<string, object>): LiveSchema {
  return new Map([
    [`public.${table}`, { columns: new Map(Object.entries(columns)) }],
  ]) as unknown as LiveSchema;
}

test.each([
  ['by sequences on both sides', NUMBER, NUMBER, false],
  ['by an application', NUMBER, { ...NUMBER, sequence: null }, true],
  ['by applications', { ...NUMBER, sequence: null }, { ...NUMBER, sequence: null }, true],
  ['as what they point to', NUMBER, { ...NUMBER, sequence: null, reference: true }, false],
  [
    'by no numbers',
    { ...NUMBER, type: 'uuid', sequence: null },
    { ...NUMBER, type: 'uuid' },
    false,
  ],
])('rows that are numbered %s', (_, monolith, service, expected) => {
  const key = [{ monolith: { table: 0, column: 'id' }, service: { table: 0, column: 'no' } }];
  const map = { key, monolith: ['m'], service: ['t'] } as unknown as MappedTable;
  const schemas = {
    monolith: schemaOf('m', { id: monolith }),
    service: schemaOf('t', { no: service }),
  };
  expect(unproven(map, schemas)).toBe(expected);
});
