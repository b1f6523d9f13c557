import { expect, test } from '@jest/globals';
import { isoOfTimestamp } from './database.ts';

test.each([
  ['2024-01-02 03:04:05', '2024-01-02T03:04:05.000Z'],
  ['2024-01-02 03:04:05.6', '2024-01-02T03:04:05.600Z'],
  ['2024-01-02 03:04:05.678912', '2024-01-02T03:04:05.678Z'],
])('tells the timestamp %s as %s', (text, iso) => {
  expect(isoOfTimestamp(text)).toBe(iso);
});
