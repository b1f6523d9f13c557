import { expect, test } from '@jest/globals';
import { requestIds } from './request-ids.ts';

test('no two requests get the same id, nor two processes', () => {
  const [one, other] = [requestIds(), requestIds()];
  const ids = Array.from({ length: 2_000 }, () => [one(), other()]).flat();
  expect(new Set(ids).size).toBe(4_000);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{24}-[0-9a-z]+$/);
});
