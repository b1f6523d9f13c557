import { expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { Driving, rolloutOf } from '../test/support/rollout.ts';
import type { MoveRequest, MoveResult } from './domain/move.ts';

const driving = new Driving();
const BAKING = { bakeMs: 60_000 };

test('a service that fails more takes the traffic back, and the rollout is over', async () => {
  await driving.begin({ phase: 'canary', weight: 50 });
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf(BAKING)),
  );
  expect(row).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  expect(row?.why).toContain('canary errors');
  expect(driving.moves).toEqual(['canary 0']);
});

test('reads that go to the service by rule make it leave the canary', async () => {
  const rules = [{ header: 'user-agent', matches: 'iPhone', to: 'service' }];
  await driving.begin({ phase: 'canary', weight: 25 });
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf(BAKING, { canary: { rules } })),
  );
  expect(row).toMatchObject({ status: 'rolled back', phase: 'shadow' });
  expect(driving.moves).toEqual(['canary 0', 'shadow 0']);
});

test('a monolith that has been scaled down gets its reads back step by step', async () => {
  await driving.beginOwned();
  const rollback = { steps: [80, 40], everyMs: 200 };
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf({ ...BAKING, rollback })),
  );
  expect(row?.status).toBe('rolled back');
  expect(driving.moves).toEqual(['canary 80', 'canary 40', 'canary 0']);
});

test('where ownership cannot go back it stays, and so does the traffic, and a human is called', async () => {
  await driving.beginOwned();
  let asked = 0;
  const move = (): Promise<never> => {
    asked += 1;
    return Promise.reject(new BanyanError('SWITCH_UNDONE', 'the way back has not drained'));
  };
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf(BAKING), { move }),
  );
  expect(row?.status).toBe('stuck');
  expect(row?.why).toContain('the way back has not drained');
  expect(asked).toBe(20);
  expect(await driving.events()).toContain('rollout way back refused');
  expect((await driving.state()).phase).toBe('cutover');
  expect((await driving.events()).at(-1)).toBe('rollout stuck');
});

test('who watches one that is stuck takes it back once what stood in the way is mended, and calls a human once', async () => {
  await driving.beginOwned();
  let asked = 0;
  const move = (request: MoveRequest): Promise<MoveResult> => {
    asked += 1;
    if (asked > 3) return driving.move(request);
    return Promise.reject(new BanyanError('PREFLIGHT_FAILED', 'a grant is missing'));
  };
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf(BAKING), { move, stays: true }),
  );
  expect(row).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  const seen = await driving.events();
  expect(seen.filter((one) => one === 'rollout stuck')).toHaveLength(1);
  expect(seen.filter((one) => one === 'rollout red')).toHaveLength(1);
});

test('one that is stuck while nothing is red waits for a human', async () => {
  await driving.beginOwned();
  await driving.rollouts.change(await driving.row(), {
    status: 'rolling back',
    why: 'aborted by hand',
  });
  let asked = 0;
  const move = (): Promise<never> => {
    asked += 1;
    return Promise.reject(new BanyanError('PREFLIGHT_FAILED', 'a grant is missing'));
  };
  const over = new AbortController();
  const ended = driving.driver(rolloutOf(BAKING), { move }).run('catalog', over.signal, true);
  try {
    await waitFor(async () => (await driving.row()).status === 'stuck', {
      ...{ timeoutMs: 30_000, what: 'it to be stuck' },
    });
    // It goes on looking.
    const { revision } = await driving.row();
    await waitFor(async () => (await driving.row()).revision > revision + 10, {
      ...{ timeoutMs: 30_000, what: 'ten looks' },
    });
  } finally {
    over.abort();
    await ended;
  }
  expect(asked).toBe(1);
  expect((await driving.row()).status).toBe('stuck');
});

test('while it waits for a human, red still leads back', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 25 });
  await driving.rollouts.change(row, { status: 'paused', why: 'by hand' });
  const watched = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf({}), { stays: true }),
  );
  expect(watched).toMatchObject({ status: 'rolled back', weight: 0 });
});

test('traffic goes back however often that is refused', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 50 });
  await driving.rollouts.change(row, { status: 'rolling back', why: 'red' });
  let asked = 0;
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    asked += 1;
    if (asked > 30) return driving.move(request);
    throw new BanyanError(asked % 2 === 0 ? 'DATABASE_UNREACHABLE' : 'PREFLIGHT_FAILED', 'no');
  };
  const last = await driving.drive(rolloutOf({}), { move });
  expect(last).toMatchObject({ status: 'rolled back', weight: 0 });
  expect((await driving.events()).filter((one) => one === 'rollout way back refused')).toHaveLength(
    1,
  );
});

test('a write canary that cannot be left is stuck after its tries, and a human is called', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 50, shared: true });
  await driving.rollouts.change(row, { status: 'rolling back', why: 'red' });
  let asked = 0;
  const move = (): Promise<never> => {
    asked += 1;
    return Promise.reject(new BanyanError('GATE_REFUSED', 'sync back is silent'));
  };
  const last = await driving.drive(rolloutOf({}, { canary: { writes: true } }), { move });
  expect(last).toMatchObject({ status: 'stuck', phase: 'canary', weight: 50 });
  expect(last?.why).toContain('sync back is silent');
  expect(asked).toBe(20);
  expect((await driving.events()).at(-1)).toBe('rollout stuck');
});

test('a smaller share of a write canary is asked for however often that is refused', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 50, shared: true });
  await driving.rollouts.change(row, { status: 'rolling back', why: 'red' });
  let asked = 0;
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    asked += 1;
    if (asked > 30) return driving.move(request);
    throw new BanyanError('GATE_REFUSED', 'no');
  };
  const rollback = { steps: [40], everyMs: 1 };
  const last = await driving.drive(rolloutOf({ rollback }, { canary: { writes: true } }), { move });
  expect(last).toMatchObject({ status: 'rolled back', weight: 0 });
  expect(driving.moves).toEqual(['canary 40', 'canary 0']);
});

test('a way back that a server will not do is told of at once, and tried on', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 50 });
  await driving.rollouts.change(row, { status: 'rolling back', why: 'red' });
  let asked = 0;
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    asked += 1;
    if (asked > 3) return driving.move(request);
    await driving.control.raw('SELECT 1 FROM there_is_no_such_table');
    throw new Error('it was there');
  };
  const last = await driving.drive(rolloutOf({}), { move });
  expect(last).toMatchObject({ status: 'rolled back', weight: 0 });
  expect((await driving.events()).filter((one) => one === 'rollout way back refused')).toHaveLength(
    1,
  );
});

test('a step back that is done and fails afterwards is its own', async () => {
  const row = await driving.begin({ phase: 'canary', weight: 50 });
  await driving.rollouts.change(row, { status: 'rolling back', why: 'red' });
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    await driving.move(request);
    throw new BanyanError('TIMED_OUT', 'a facade has not heard of it');
  };
  const last = await driving.drive(rolloutOf({}), { move });
  expect(last).toMatchObject({ status: 'rolled back', weight: 0, why: 'red' });
});

test('a step back tells what must be mended before it goes on again', async () => {
  await driving.beginOwned();
  const gate = { gate: 'way forward', figure: '1 rights missing', limit: 'none missing' };
  const move = async (request: MoveRequest): Promise<MoveResult> => ({
    ...(await driving.move(request)),
    gates: [{ ...gate, verdict: 'fail', advisory: true, note: 'applier lacks UPDATE' }],
  });
  const row = await driving.withTraffic(
    () => 10,
    () => driving.drive(rolloutOf(BAKING), { move }),
  );
  expect(row).toMatchObject({ status: 'rolled back', phase: 'canary', weight: 0 });
  const steps = (await driving.store.journal('catalog')).filter(
    ({ event }) => event === 'rollout step back',
  );
  expect(steps.map(({ why }) => why)).toContainEqual(
    'canary 0 %; before it goes on again: way forward: 1 rights missing, limit none missing (fail): applier lacks UPDATE',
  );
});
