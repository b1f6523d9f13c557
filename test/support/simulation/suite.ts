// The seeded simulation as a test, in two halves that run beside each other: even seeds with constraints
// that are checked at once, odd ones with constraints that are checked at the end of a transaction.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { seeds } from '../random.ts';
import { FAILPOINTS } from './failpoints.ts';
import { simulate } from './simulate.ts';
import { createWorld, type World } from './world.ts';

/** Schedules in both halves together; CI has more. `SEEDS=n` runs n others, `SEED=n` one again. */
const SCHEDULES = Number(process.env['SCHEDULES'] ?? 40);
/** With as many, each failpoint is hit for certain. */
const ENOUGH = 500;

export function simulation(deferred: boolean): void {
  let world: World;

  beforeAll(async () => {
    world = await createWorld(deferred);
  });

  afterAll(async () => {
    await world.close();
  });

  test('after any schedule of writes, crashes and switches both sides show what was written, each change once', async () => {
    const own = seeds(SCHEDULES).filter((seed) => (seed % 2 === 1) === deferred);
    const struck = await simulate(world, own);
    if (own.length >= ENOUGH) expect([...struck.keys()].sort()).toEqual([...FAILPOINTS].sort());
  }, 3_600_000);
}
