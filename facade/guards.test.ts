import { afterEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { Guard } from './guards.ts';
import { RetryBudget } from './domain/retry-budget.ts';

/** For so long a circuit is open: longer than this machine may stand still. */
const OPEN_MS = 60_000;

const [wallClock, steadyClock] = [Date.now.bind(Date), performance.now.bind(performance)];

afterEach(() => {
  Date.now = wallClock;
  performance.now = steadyClock;
});

function guardOf(anyRoute = false): Guard {
  const settings = {
    breaker: {
      threshold: 0.5,
      windowMs: 1_000,
      minimumRequests: 2,
      openMs: OPEN_MS,
      maxOpenMs: OPEN_MS,
    },
    bulkhead: { route: 8, upstream: 8 },
    retry: { budget: 0.2 },
  } as unknown as ConstructorParameters<typeof Guard>[0];
  return new Guard(settings, new RetryBudget(settings.retry.budget), anyRoute);
}

/** Fails until the circuit is open. */
async function open(guard: Guard): Promise<void> {
  while (guard.state === 'closed') {
    guard.enter()?.failed(new Error('no'), false);
    await sleep(1);
  }
}

test('an open circuit lets nothing through, and then a probe', async () => {
  const guard = guardOf();
  await open(guard);
  expect(guard.enter()).toBeUndefined();
  Date.now = () => wallClock() + OPEN_MS;
  guard.enter()?.succeeded();
  await sleep(5);
  expect(guard.state).toBe('closed');
});

test('an open circuit does not stay open for as long as the wall clock was set back', async () => {
  const guard = guardOf();
  await open(guard);
  Date.now = () => wallClock() - 600_000;
  expect(guard.enter()).toBeUndefined();
  performance.now = () => steadyClock() + OPEN_MS + 1;
  expect(guard.enter()).toBeDefined();
});

test('a probe that takes its time keeps nobody waiting for longer than the circuit was open', async () => {
  const guard = guardOf();
  await open(guard);
  Date.now = () => wallClock() + OPEN_MS;
  const slow = guard.enter();
  expect(slow).toBeDefined();
  expect(guard.enter()).toBeUndefined();
  performance.now = () => steadyClock() + OPEN_MS;
  guard.enter()?.succeeded();
  await sleep(5);
  expect(guard.state).toBe('closed');
  // Nobody takes it for the probe of a later time.
  slow?.abandoned();
  await open(guard);
  expect(guard.enter()).toBeUndefined();
});

test('of many routes, one that fails does not close the others', async () => {
  const guard = guardOf(true);
  for (let nth = 0; nth < 100; nth++) guard.enter()?.failed(new Error('503'), true);
  await sleep(5);
  expect(guard.state).toBe('closed');
  await open(guard);
  Date.now = () => wallClock() + OPEN_MS;
  guard.enter()?.failed(new Error('503'), true);
  await sleep(5);
  expect(guard.state).toBe('closed');
});
