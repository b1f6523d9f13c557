import { expect, test } from '@jest/globals';
import { alarm } from './retained-wal.ts';

const GB = 1_073_741_824;

test.each([
  ['little is kept', { retained: 1_000, safe: null, status: 'reserved' }],
  ['little of a limit is used up', { retained: 10, safe: 90, status: 'reserved' }],
])('all is well while %s', (_, found) => {
  expect(alarm(found, GB)).toBeUndefined();
});

test.each([
  [
    'half of the server’s limit is used up',
    { retained: 60, safe: 40, status: 'extended' },
    /max_slot_wal/,
  ],
  [
    'more is kept than the team said',
    { retained: GB, safe: null, status: 'extended' },
    /1073741824 bytes/,
  ],
  ['the slot may go any moment', { retained: 1, safe: null, status: 'unreserved' }, /unreserved/],
  ['the slot is lost', { retained: 0, safe: null, status: 'lost' }, /lost/],
])('an alarm is raised when %s', (_, found, why) => {
  expect(alarm(found, GB)).toMatch(why);
});
