// The protocol of a switch, looked at in every state that small bounds allow; and that each of its parts
// is needed: with one left out, the same look finds what goes wrong.
import { expect, test } from '@jest/globals';
import { explore } from '../test/support/model/explore.ts';
import { switchModel, type Bounds } from '../test/support/model/switch.ts';
import type { Omission } from '../test/support/model/switch-steps.ts';

const SMALL: Bounds = {
  ...{ writes: 1, switches: 1, deaths: 1, takeovers: 0, cuts: 0, lost: 0, late: 0 },
};
/** Larger ones take minutes. */
const WIDE: readonly Partial<Bounds>[] =
  process.env['MODEL'] === 'wide'
    ? [
        { takeovers: 1 },
        { switches: 2, takeovers: 1 },
        { cuts: 1, late: 1, takeovers: 1 },
        { lost: 1, takeovers: 1 },
        { writes: 2 },
      ]
    : [];

test.each([{}, { deaths: 0, cuts: 1 }, { deaths: 0, takeovers: 1 }, { lost: 1 }, ...WIDE])(
  'one owner, no write lost, none refused, and always a way to rest (%j)',
  (more) => {
    const { found, states } = explore(switchModel({ ...SMALL, ...more }));
    expect(found).toBeUndefined();
    expect(states).toBeGreaterThan(1_000);
  },
  600_000,
);

test('from wherever the service owns ownership can go back, whatever has been under way before', () => {
  const { found, states } = explore(switchModel({ ...SMALL, switches: 2, deaths: 0 }));
  expect(found).toBeUndefined();
  expect(states).toBeGreaterThan(1_000);
}, 600_000);

const BOTH = 'both sides can be written to';
const LOST = 'an acknowledged write is missing at the owner';
const STAYS = 'ownership cannot go back';
const REFUSED = 'write 0 fails at an edge that was there';

test.each<[Omission, string, Partial<Bounds>]>([
  ['the barrier in the transaction of the fence', LOST, { cuts: 1 }],
  ['the drain before the flip', LOST, {}],
  ['the fence before the barrier', LOST, { cuts: 1 }],
  ['the epoch in the databases', REFUSED, { takeovers: 1 }],
  ['the writes in flight before an acknowledgement', REFUSED, {}],
  ['the list of edges after the hold', REFUSED, { late: 1 }],
  ['the version of the state', BOTH, { takeovers: 1 }],
  ['the fence of the new owner until the flip', BOTH, {}],
  ['the wait for a flip in doubt', BOTH, { lost: 1 }],
  ['the flow back', STAYS, { switches: 2, deaths: 0 }],
])(
  'without %s: %s',
  (omitted, what, more) => {
    const { found } = explore(switchModel({ ...SMALL, ...more }, omitted));
    expect(found?.what).toBe(what);
  },
  600_000,
);
