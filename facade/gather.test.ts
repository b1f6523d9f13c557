import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Gathering } from './gather.ts';
import { Memory, Purse } from './memory.ts';

test('whatever the pieces, the body is theirs and exactly its bytes stay taken', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 30 });
  fc.assert(
    fc.property(pieces, (given) => {
      const memory = new Memory(100_000);
      const gathering = new Gathering(new Purse(memory), 10_000);
      for (const piece of given) expect(gathering.add(Buffer.from(piece))).toBeUndefined();
      const whole = Buffer.concat(given);
      expect(gathering.take()).toEqual(whole);
      expect(memory.free).toBe(100_000 - whole.length);
    }),
  );
});

test('a piece that does not fit lets go of all of them', () => {
  const memory = new Memory(100);
  const gathering = new Gathering(new Purse(memory), 50);
  expect(gathering.add(Buffer.alloc(40))).toBeUndefined();
  expect(gathering.add(Buffer.alloc(40))).toBe('too-large');
  expect(memory.free).toBe(100);
  const other = new Gathering(new Purse(memory), 1_000);
  expect(other.add(Buffer.alloc(90))).toBeUndefined();
  expect(other.add(Buffer.alloc(20))).toBe('memory');
  expect(memory.free).toBe(100);
});

test('a few bytes of a large buffer do not keep it alive', () => {
  const gathering = new Gathering(new Purse(new Memory(1_000)), 1_000);
  const large = Buffer.alloc(1_000_000, 'x');
  gathering.add(large.subarray(10, 20));
  expect(gathering.take().buffer.byteLength).toBeLessThan(20_000);
});

test('a purse gives back what is left in it, once', () => {
  const memory = new Memory(100);
  const purse = new Purse(memory);
  expect(purse.take(60)).toBe(true);
  expect(purse.take(60)).toBe(false);
  purse.give(20);
  purse.close();
  purse.close();
  purse.give(50);
  expect(memory.free).toBe(100);
});
