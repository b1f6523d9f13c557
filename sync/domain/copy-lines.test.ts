// COPY's text format, read and written without a server.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { copyField } from '../../core/postgres/text-forms.ts';
import { decodeField, decodeLine, lineFor, lineShapes } from './copy-lines.ts';
import type { ColumnPair, Edge } from './mapping.ts';

const wire = (value: string | null): string =>
  Buffer.from(copyField(value), 'utf8').toString('latin1');
const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => !value.includes('\0'));

const pair = (source: string, target: string, more: Partial<ColumnPair> = {}): ColumnPair => ({
  ...{ source, target, type: 'text', sourceType: 'text' },
  ...{ map: (value: string) => value, needed: false, reference: false, wide: false },
  absent: null,
  ...more,
});
const edge = (more: Partial<Edge> = {}): Edge => ({
  ...{ source: { schema: 'public', table: 'a' }, target: { schema: 'public', table: 'b' } },
  ...{ key: [pair('id', 'id')], columns: [], groups: [], constants: [], driver: true },
  ...{ part: false, optional: false, filter: [], guard: [], skipsTriggers: false },
  ...more,
});

test('a field comes out as the text that went in, whatever it holds', () => {
  fc.assert(
    fc.property(fc.option(text), (value) => {
      expect(decodeField(wire(value))).toBe(value);
    }),
  );
  expect(decodeField('\\\\N')).toBe('\\N');
  expect(decodeField('a\\bb\\fc\\vd')).toBe('a\bb\fc\vd');
});

test('a line for a target holds the values of the source, mapped where the mapping says so', () => {
  const shout = (value: string): string => `${value}!ü🦊\t`;
  const [shape] =
    lineShapes(
      'public.a',
      ['id', 'x', 'y'],
      [
        edge({
          columns: [
            pair('y', 'plain'),
            pair('x', 'loud', { map: shout, lens: { lens: 'values', to: 'loud', values: {} } }),
          ],
          constants: [{ column: 'more', type: 'text', value: 'c\té' }],
        }),
      ],
    ) ?? [];
  if (!shape) throw new Error('no shape');
  expect(shape.text).toBe('COPY "public"."b" ("id", "plain", "loud", "more") FROM STDIN');
  fc.assert(
    fc.property(text, fc.option(text), fc.option(text), (id, x, y) => {
      const line = lineFor(shape, [wire(id), wire(x), wire(y)]);
      expect(decodeLine(line)).toEqual([id, y, x === null ? null : shout(x), 'c\té']);
    }),
  );
});

test('rows that are only a part of a target’s row have no line of their own', () => {
  const part = edge({ source: { schema: 'public', table: 'c' }, driver: false });
  expect(lineShapes('public.a', ['id'], [edge(), part])).toBeUndefined();
  expect(lineShapes('public.c', ['id'], [edge(), part])).toBeUndefined();
  expect(lineShapes('public.a', ['id'], [edge()])).toHaveLength(1);
});
