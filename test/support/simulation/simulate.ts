// Runs schedules, and says of one that fails what it did, from which step on it fails, and how to see
// it again.
import { messageOf } from '../../../core/errors.ts';
import type { Failpoint } from './failpoints.ts';
import { Schedule } from './schedule.ts';
import type { World } from './world.ts';

/** Runs the schedules of these seeds; gives how often each failpoint was hit. Throws the first failure, to read. */
export async function simulate(
  world: World,
  seeds: readonly number[],
  isBrief = false,
): Promise<ReadonlyMap<Failpoint, number>> {
  const struck = new Map<Failpoint, number>();
  for (const seed of seeds) {
    const schedule = new Schedule(world, seed);
    try {
      await schedule.run();
    } catch (error) {
      if (isBrief) throw error;
      throw new Error(await report(world, seed, schedule, error), { cause: error });
    }
    for (const [at, count] of schedule.struck) struck.set(at, (struck.get(at) ?? 0) + count);
  }
  return struck;
}

async function report(
  world: World,
  seed: number,
  failed: Schedule,
  error: unknown,
): Promise<string> {
  let [shortest, why] = [failed, error];
  for (let steps = 1; steps < 85; steps++) {
    const schedule = new Schedule(world, seed);
    try {
      await schedule.run(steps);
    } catch (again) {
      [shortest, why] = [schedule, again];
      break;
    }
  }
  return [
    `seed ${seed} fails: ${messageOf(why)}`,
    ...shortest.steps.map((step, index) => `${String(index).padStart(4)}  ${step}`),
    `Again: SEED=${seed} npm test -- sync/simulation`,
  ].join('\n');
}
