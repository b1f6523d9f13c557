// What others do to a rollout while its driver looks, moves, stands still or dies.
import { expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import { Driving, rolloutOf } from '../test/support/rollout.ts';
import type { MoveRequest, MoveResult } from './domain/move.ts';

const driving = new Driving();
/** Goes on at once. */
const EAGER = rolloutOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
const BAKED = rolloutOf({ steps: [5, 50], to: 'canary', bakeMs: 50 });
const WELL = (): number => 1;

test('a human who moves the capability is obeyed', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  await driving.move({ capability: 'catalog', event: 'weight', weight: 1 });
  const row = await driving.drive(rolloutOf({}));
  expect(row).toMatchObject({ status: 'paused', why: 'moved by hand to canary 1 %' });
});

test('a driver that wakes up late moves nothing and writes nothing', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  // The first stands still between its decision and its move; the second takes over meanwhile.
  const held = Promise.withResolvers<undefined>();
  const asked = Promise.withResolvers<undefined>();
  let late: unknown;
  const sleepy = async (request: MoveRequest): Promise<MoveResult> => {
    asked.resolve(undefined);
    await held.promise;
    return driving.move(request).catch((error: unknown) => {
      late = error;
      throw error;
    });
  };
  await driving.withTraffic(WELL, async () => {
    const over = new AbortController();
    const first = driving
      .driver(BAKED, { move: sleepy, holder: 'first' })
      .run('catalog', over.signal);
    await asked.promise;
    // Under another name: the first one would keep its lease beside its move.
    await driving
      .control('banyan.rollout')
      .update({ holder: 'one that is gone', lease_until: '-infinity' });
    expect(await driving.drive(BAKED, { holder: 'second' })).toMatchObject({
      ...{ status: 'done', weight: 50 },
    });
    held.resolve(undefined);
    over.abort();
    await first;
  });
  expect(late).toMatchObject({ code: 'MOVE_IN_PROGRESS' });
  expect(driving.moves).toEqual(['canary 50']);
  expect(await driving.events()).toContain('rollout taken over');
});

test('a driver that died between its move and its word is taken for ours', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 5 });
  await driving.rollouts.change(row, { going: { phase: 'canary', weight: 50 } });
  await driving.move({ capability: 'catalog', event: 'weight', weight: 50 });
  const last = await driving.withTraffic(WELL, () => driving.drive(BAKED));
  expect(last?.status).toBe('done');
  expect(await driving.events()).toEqual(['rollout started', 'rollout step', 'rollout done']);
});

test('a pause between its look and its word is not overwritten', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  const change = driving.rollouts.change.bind(driving.rollouts);
  let isPaused = false;
  driving.rollouts.change = async (row, what, event) => {
    if (!isPaused && what.watch && what.status === undefined) {
      isPaused = true;
      await change(row, { status: 'paused', why: 'by hand' });
    }
    return change(row, what, event);
  };
  const row = await driving.withTraffic(WELL, () => driving.drive(EAGER));
  expect(row).toMatchObject({ status: 'paused', why: 'by hand', weight: 5 });
  expect(driving.moves).toEqual([]);
});

test('a pause stops a move that was announced and comes late', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  const asked: unknown[] = [];
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    await driving.rollouts.change(await driving.row(), {
      status: 'paused',
      why: 'by hand',
      stops: true,
    });
    return driving.move(request).catch((error: unknown) => {
      asked.push(error);
      throw error;
    });
  };
  const row = await driving.withTraffic(WELL, () => driving.drive(EAGER, { move }));
  expect(row).toMatchObject({ status: 'paused', why: 'by hand', weight: 5 });
  expect(asked).toMatchObject([{ code: 'MOVE_IN_PROGRESS' }]);
  expect((await driving.state()).weight).toBe(5);
});

test('an abort while its move is refused is not overwritten', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  let isAborted = false;
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    if (isAborted) return driving.move(request);
    isAborted = true;
    await driving.rollouts.change(await driving.row(), {
      ...{ status: 'rolling back', why: 'aborted by hand', stops: true },
    });
    throw new BanyanError('PREFLIGHT_FAILED', 'refused');
  };
  const row = await driving.withTraffic(WELL, () => driving.drive(EAGER, { move }));
  expect(row).toMatchObject({ status: 'rolled back', weight: 0 });
});

test('a server that will not do it is asked three times, and then a human', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  let asked = 0;
  const move = async (): Promise<never> => {
    asked += 1;
    await driving.control.raw('SELECT 1 FROM there_is_no_such_table');
    throw new Error('it was there');
  };
  const row = await driving.withTraffic(WELL, () => driving.drive(EAGER, { move }));
  expect(asked).toBe(3);
  expect(row?.status).toBe('paused');
  expect(row?.why).toContain('there_is_no_such_table');
});
