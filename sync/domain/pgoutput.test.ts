// The decoder's short cut for ASCII rows must never be told from the long way.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Relation, Value } from './change.ts';
import { PgOutputDecoder } from './pgoutput.ts';

const OID = 7;

function relation(columns: number): Buffer {
  const parts: Buffer[] = [
    Buffer.from('R'),
    uint32(OID),
    Buffer.from('public\0t\0d'),
    uint16(columns),
  ];
  for (let index = 0; index < columns; index++)
    parts.push(Buffer.from([1]), Buffer.from(`c${index}\0`), uint32(25), uint32(0xffffffff));
  return Buffer.concat(parts);
}

function insert(values: readonly Value[]): Buffer {
  const parts: Buffer[] = [Buffer.from('I'), uint32(OID), Buffer.from('N'), uint16(values.length)];
  for (const value of values)
    if (value === null) parts.push(Buffer.from('n'));
    else if (value === undefined) parts.push(Buffer.from('u'));
    else parts.push(Buffer.from('t'), uint32(Buffer.byteLength(value)), Buffer.from(value));
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function uint16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16BE(value);
  return buffer;
}

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }).filter((value) => value.isWellFormed()),
  // Lengths whose bytes look like the beginning, the middle or the end of a character.
  fc.integer({ min: 100, max: 600 }).map((length) => 'x'.repeat(length)),
  fc.constantFrom('\ufffd', 'é', 'ß'.repeat(70), '😀', '\u0080', '\u07ff', ''),
);
const value = fc.oneof({ weight: 6, arbitrary: text }, fc.constant(null), fc.constant(undefined));

test('every row is decoded to the values that it was sent with, wherever it lies in its buffer', () => {
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 9 }),
      fc.uint8Array({ maxLength: 30 }),
      fc.uint8Array({ maxLength: 30 }),
      (values, before, after) => {
        const decoder = new PgOutputDecoder();
        const described = relation(values.length);
        decoder.decode(described, 0, described.length);
        const message = insert(values);
        const buffer = Buffer.concat([before, message, after]);
        const decoded = decoder.decode(buffer, before.length, before.length + message.length);
        expect(decoded).toMatchObject({ kind: 'change', change: { kind: 'insert' } });
        if (decoded.kind !== 'change' || decoded.change.kind !== 'insert') return;
        expect([...decoded.change.after]).toEqual(values);
      },
    ),
    { numRuns: 2_000 },
  );
});

/** The table as it is by the description that was given last. */
function described(decoder: PgOutputDecoder, columns = 1): Relation {
  const message = relation(columns);
  decoder.decode(message, 0, message.length);
  return inserted(decoder, columns);
}

function inserted(decoder: PgOutputDecoder, columns: number, version?: number): Relation {
  const row = insert(Array<Value>(columns).fill('x'));
  const decoded = decoder.decode(row, 0, row.length, version);
  if (decoded.kind !== 'change' || decoded.change.kind !== 'insert') throw new Error('no insert');
  return decoded.change.relation;
}

test('with types, a table that is described again in the same words is to be looked up anew', () => {
  const decoder = new PgOutputDecoder(undefined, true);
  const first = described(decoder);
  const { version } = decoder;
  const again = described(decoder);
  expect(again).toEqual(first);
  expect(again).not.toBe(first);
  expect(inserted(decoder, 1)).toBe(again);
  expect(decoder.version).toBe(version);
});

test('without types it is the same table', () => {
  const decoder = new PgOutputDecoder();
  const first = described(decoder);
  expect(described(decoder)).toBe(first);
});

test('a change that came before a column was added keeps the columns of then, however often that is said', () => {
  const decoder = new PgOutputDecoder(undefined, true);
  const { columns } = described(decoder);
  const { version } = decoder;
  described(decoder, 2);
  described(decoder, 2);
  expect(inserted(decoder, 1, version).columns).toEqual(columns);
  expect(inserted(decoder, 2).columns).toHaveLength(2);
});
