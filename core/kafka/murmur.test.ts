import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { murmur2 } from './murmur.ts';

const theirs = createRequire(import.meta.url)(
  'kafkajs/src/producer/partitioners/default/murmur2.js',
) as (key: Buffer) => number;

test('a key’s hash is that of kafkajs, and of Java’s client', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const key = Buffer.from(bytes);
      expect(murmur2(key)).toBe(theirs(key));
    }),
    { numRuns: 500 },
  );
  // From the tests of org.apache.kafka.common.utils.Utils.
  expect(murmur2(Buffer.from('21'))).toBe(-973932308);
  expect(murmur2(Buffer.from('foobar'))).toBe(-790332482);
  expect(murmur2(Buffer.from('abc'))).toBe(479470107);
});
