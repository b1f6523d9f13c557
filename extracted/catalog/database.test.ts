import { expect, test } from '@jest/globals';
import { isoOfTimestamptz } from './database.ts';

test.each([
  ['2024-01-02 03:04:05+00', '2024-01-02T03:04:05.000Z'],
  ['2024-01-02 03:04:05.6+00', '2024-01-02T03:04:05.600Z'],
  ['2024-01-02 03:04:05.678912+00', '2024-01-02T03:04:05.678Z'],
])('tells the timestamp %s as %s', (text, iso) => {
  expect(isoOfTimestamptz(text)).toBe(iso);
});

test('refuses a timestamp of a session that is not in UTC', () => {
  expect(() => isoOfTimestamptz('2024-01-02 03:04:05+02')).toThrow('not a UTC timestamp');
});
