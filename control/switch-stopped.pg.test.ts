// A coordinator that is stopped (SIGSTOP) at a step and woken only after another one has taken over and
// flipped: the takeover comes by itself, and the one that wakes up late does no harm. `KILLS=all` for
// every step.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { STEPS, type Step } from '../test/support/switching/stop-at.ts';
import { World } from '../test/support/switching/world.ts';

const FEW: readonly Step[] = ['fenced'];

let world: World;

beforeAll(async () => {
  world = await World.start();
}, 240_000);

afterAll(async () => {
  await world.close();
});

test.each(process.env['KILLS'] === 'all' ? STEPS : FEW)(
  'stopped at "%s", and woken after another has flipped, it changes nothing',
  async (step) => {
    if ((await world.phase()) === 'cutover') {
      await world.ready();
      expect(await world.command('canary').exited).toBe(0);
    }
    await world.ready();
    await world.stops.set(step);
    const first = world.command('cutover');
    try {
      await world.stops.reached(() => first.child.exitCode !== null);
      first.child.kill('SIGSTOP');
      // Nobody held waits for it: the caretaker takes over once the lease is past.
      await world.atRest();
      if ((await world.phase()) !== 'cutover') {
        await world.ready();
        expect(await world.command('cutover').exited).toBe(0);
      }
      await world.stops.release();
    } finally {
      await world.stops.release();
      first.child.kill('SIGCONT');
    }
    const isForward = ['flipped', 'unfenced', 'released'].includes(step);
    await first.exited;
    if (!isForward) expect(first.stdout()).toContain('STALE_COORDINATOR');
    expect(await world.atRest()).toBe('cutover');
    expect(await world.openSides()).toEqual({ monolith: 'BN001', service: 'open' });
    expect([...(world.clients?.outcomes().failed ?? [])]).toEqual([]);
  },
  120_000,
);

test('every acknowledged write is in both databases, once, and there was one owner at every moment', async () => {
  const { faults, history } = await world.settle();
  expect(faults).toEqual([]);
  expect(history.wrong).toEqual([]);
  expect(Math.min(history.writes.monolith, history.writes.service)).toBeGreaterThan(5);
}, 120_000);
