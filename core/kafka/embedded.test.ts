import { expect, test } from '@jest/globals';
import { clusterId } from './embedded.ts';

test('a cluster’s id never begins with a dash', () => {
  const drawn = [Buffer.alloc(16, 0xf8), Buffer.alloc(16, 0xfb), Buffer.alloc(16, 1)];
  expect(drawn[0]?.toString('base64url')).toMatch(/^-/);
  expect(clusterId(() => drawn.shift() ?? Buffer.alloc(0))).toBe('AQEBAQEBAQEBAQEBAQEBAQ');
});
