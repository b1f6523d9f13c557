import { expect, test } from '@jest/globals';
import { Driving, rolloutOf } from '../test/support/rollout.ts';
import type { Capability } from './definition.ts';
import { lookAt } from './rollout-look.ts';

const driving = new Driving();

test('while a copy comes on nobody waits in vain, and from when it stands still on one does', async () => {
  await driving.begin({ phase: 'sync' });
  const definition = rolloutOf({}).capabilities['catalog'] as Capability;
  const idleAt = async (
    nowMs: number,
    rows: number,
    watch: Awaited<ReturnType<typeof lookAt>>['watch'] | null,
  ) => {
    await driving.evidence.reportFlow({
      ...{ capability: 'catalog', direction: 'to', status: 'backfill', errorCode: null },
      ...{ error: null, position: null, watermark: null, lagP50Ms: null, lagP99Ms: null },
      ...{ applied: 0, parked: 0 },
      backfill: [{ table: 'a', rows, estimatedRows: 100, done: false }],
    });
    const state = await driving.state();
    const since = { version: state.version, atMs: nowMs, nowMs, watch };
    const look = await lookAt(driving.evidence, 'catalog', definition, state, since);
    return { watch: look.watch, idleMs: look.facts.idleMs };
  };
  const first = await idleAt(1_000, 5, null);
  const second = await idleAt(50_000, 9, first.watch);
  expect(second.idleMs).toBe(0);
  const third = await idleAt(70_000, 9, second.watch);
  expect(third.idleMs).toBe(20_000);
  expect((await idleAt(80_000, 10, third.watch)).idleMs).toBe(0);
});
