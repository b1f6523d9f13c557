import { expect, test } from '@jest/globals';
import { facade, holdLimits } from './facade-settings.ts';

test('however long facades let writes wait, a switch has flipped before, and each of its waits is shorter', () => {
  for (let timeoutMs = 2; timeoutMs < 10_000_000; timeoutMs = Math.ceil(timeoutMs * 1.7)) {
    const { acknowledgeMs, silentMs, drainMs, flipMs } = holdLimits({ timeoutMs });
    expect(flipMs).toBeLessThan(timeoutMs);
    expect(acknowledgeMs).toBeLessThanOrEqual(silentMs);
    for (const one of [silentMs, drainMs]) expect(one).toBeLessThan(timeoutMs);
  }
  // Some time is left for facades to hear of it.
  expect(holdLimits({ timeoutMs: 10_000 }).flipMs).toBe(9_000);
  expect(holdLimits({ timeoutMs: 1_000 }).flipMs).toBe(750);
});

test('by default a route that hangs leaves connections for the others', () => {
  const { connections, route } = facade.parse({}).bulkhead;
  expect(route).toBeLessThanOrEqual(connections / 2);
});

test.each(['timeoutMs', 'idleTimeoutMs', 'connectTimeoutMs'])(
  'a %s that no timer can wait is a mistake: it would be over at once',
  (name) => {
    expect(facade.safeParse({ [name]: 2 ** 31 - 1 }).success).toBe(true);
    expect(facade.safeParse({ [name]: 2 ** 31 }).error?.issues[0]?.message).toMatch(
      /is more than a timer can wait/,
    );
  },
);
