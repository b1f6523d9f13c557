// kill -9 of the coordinator, a facade, sync, the monolith's server and the service's, each after each
// step of a switch, both ways, under load: it converges by itself, with one owner at every moment by
// both databases' own histories, and every acknowledged write in both, once. A few of them by default;
// `KILLS=all` for every one (npm run soak:switch).
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { STEPS, type Step } from '../test/support/switching/stop-at.ts';
import { VICTIMS, World, type Victim } from '../test/support/switching/world.ts';

const ALL = process.env['KILLS'] === 'all';
const FEW: readonly (readonly [Victim, Step])[] = [
  ['coordinator', 'fenced'],
  ['facade', 'held'],
  ['sync', 'fenced'],
  ['monolith', 'flipped'],
  ['service', 'drained'],
];
const CASES = ALL
  ? VICTIMS.flatMap((victim) =>
      STEPS.flatMap((step) => [
        [victim, step, 'cutover'] as const,
        [victim, step, 'canary'] as const,
      ]),
    )
  : FEW.map(
      ([victim, step], index) => [victim, step, index % 2 === 0 ? 'cutover' : 'canary'] as const,
    );

const OPEN = {
  monolith: { monolith: 'open', service: 'BN001' },
  service: { monolith: 'BN001', service: 'open' },
};

let world: World;
const ended = { finished: 0, undone: 0 };

beforeAll(async () => {
  world = await World.start();
}, 240_000);

afterAll(async () => {
  await world.close();
});

/** Goes to the other phase, by as many commands as that takes. */
async function goTo(phase: 'canary' | 'cutover'): Promise<void> {
  for (let tries = 0; (await world.phase()) !== phase; tries++) {
    expect(tries).toBeLessThan(3);
    await world.ready();
    await world.command(phase).exited;
    await world.atRest();
  }
}

test.each(CASES)(
  'the %s is killed after "%s" on the way to %s: the switch converges by itself',
  async (victim, step, to) => {
    await goTo(to === 'cutover' ? 'canary' : 'cutover');
    await world.ready();
    world.clients?.forget();
    await world.stops.set(step);
    const coordinator = world.command(to);
    let isOver = false;
    void coordinator.exited.then(() => {
      isOver = true;
    });
    try {
      await world.stops.reached(() => isOver);
      await world.kill(victim, coordinator);
    } finally {
      await world.stops.release();
    }
    await coordinator.exited;
    // Whoever gave the command is told what happened, and never of a defect.
    expect(coordinator.stdout()).not.toContain('INTERNAL');
    const phase = await world.atRest();
    const isForward = ['flipped', 'unfenced', 'released'].includes(step);
    if (isForward) expect(phase).toBe(to);
    if (victim === 'coordinator' && !isForward) expect(phase).not.toBe(to);
    expect(await world.openSides()).toEqual(OPEN[phase === 'cutover' ? 'service' : 'monolith']);
    ended[phase === to ? 'finished' : 'undone'] += 1;
    // Whoever is killed beside the data takes no request along but those that it had in its hands.
    if (victim === 'coordinator' || victim === 'sync')
      expect([...(world.clients?.outcomes().failed ?? [])]).toEqual([]);
  },
  120_000,
);

test('every acknowledged write is in both databases, once, and there was one owner at every moment', async () => {
  const { faults, history: verdict } = await world.settle();
  expect(faults).toEqual([]);
  expect(verdict.wrong).toEqual([]);
  expect(verdict.moves).toBeGreaterThan(2);
  expect(Math.min(verdict.writes.monolith, verdict.writes.service)).toBeGreaterThan(20);
  process.stderr.write(
    `${CASES.length} kills: ${ended.finished} switches finished, ${ended.undone} undone; ${verdict.writes.monolith} writes at the monolith, ${verdict.writes.service} at the service, ${verdict.moves} times opened or closed\n`,
  );
}, 120_000);
