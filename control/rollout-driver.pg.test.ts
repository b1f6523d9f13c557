import { expect, test } from '@jest/globals';
import { BanyanError, isBanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { Driving, rolloutOf, type Move } from '../test/support/rollout.ts';
import type { Migration } from './definition.ts';
import type { MoveRequest, MoveResult } from './domain/move.ts';

const driving = new Driving();

/** The coordinator's move, and how often its gates have refused it. */
function counted(migration: Migration): { move: Move; refusals: () => number } {
  let refusals = 0;
  const move = driving.gated(migration);
  return {
    move: (request) =>
      move(request).catch((error: unknown) => {
        if (isBanyanError(error, 'GATE_REFUSED')) refusals += 1;
        throw error;
      }),
    refusals: () => refusals,
  };
}

test('it walks from the monolith through every share to the cutover, each a line of the journal', async () => {
  await driving.begin({});
  const migration = rolloutOf({ steps: [5, 50], bakeMs: 50 });
  const row = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { move: driving.gated(migration) }),
  );
  expect(row?.status).toBe('done');
  expect(driving.moves).toEqual(['sync 0', 'shadow 0', 'canary 5', 'canary 50', 'cutover 0']);
  expect(await driving.events()).toEqual([
    'rollout started',
    ...driving.moves.map(() => 'rollout step'),
    'rollout done',
  ]);
});

test('after one that went red, another of the mended service is not refused for what the first one saw', async () => {
  const migration = rolloutOf({ steps: [25, 50], bakeMs: 100 });
  await driving.begin({ phase: 'canary', weight: 50 });
  const first = await driving.withTraffic(
    () => 30,
    () => driving.drive(rolloutOf({ bakeMs: 60_000 })),
  );
  expect(first).toMatchObject({ status: 'rolled back', weight: 0 });
  await driving.rollouts.begin(await driving.state(), { who: 'test', why: '' });
  const { move, refusals } = counted(migration);
  const second = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { move }),
  );
  expect(second?.status).toBe('done');
  expect(refusals()).toBe(0);
  expect(driving.moves.slice(-3)).toEqual(['canary 25', 'canary 50', 'cutover 0']);
});

test('the coordinator judges by what the driver has made of the answers, and cannot disagree with it', async () => {
  const migration = rolloutOf({ steps: [25, 50], bakeMs: 100 });
  // An incident before the rollout began, under the very state that it begins in.
  const { version } = await driving.set({ phase: 'canary', weight: 50 });
  await driving.answered(version, 'monolith', 100_000, 1_000);
  await driving.answered(version, 'service', 100_000, 10_000);
  await driving.rollouts.begin(await driving.state(), { who: 'test', why: '' });
  const { move, refusals } = counted(migration);
  const row = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { move }),
  );
  expect(row?.status).toBe('done');
  expect(refusals()).toBe(0);
  expect(driving.moves).toEqual(['cutover 0']);
});

test('gates that refuse the move show why, and for too long they call a human', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  const move = (): Promise<never> =>
    Promise.reject(new BanyanError('GATE_REFUSED', 'the gates say no'));
  const migration = rolloutOf({ steps: [5, 50], to: 'canary', bakeMs: 0, waitMs: 60_000 });
  const row = await driving.withTraffic(
    () => 1,
    async () => {
      const ended = driving.drive(migration, { move });
      await waitFor(async () => (await driving.row()).why === 'the gates say no', {
        ...{ timeoutMs: 30_000, what: 'the reason to be shown' },
      });
      expect(await driving.row()).toMatchObject({ status: 'running', weight: 5 });
      await driving.control.raw(`UPDATE banyan.rollout SET step_at = now() - interval '61 s'`);
      return ended;
    },
  );
  expect(row).toMatchObject({ status: 'paused', why: 'the gates say no', going: null });
});

test('however long a step has taken, a first refusal calls nobody', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  let refusals = 0;
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    refusals += 1;
    if (refusals > 3) return driving.move(request);
    if (refusals === 1)
      await driving.control.raw(`UPDATE banyan.rollout SET step_at = now() - interval '3 hours'`);
    throw new BanyanError('GATE_REFUSED', 'somebody is in the way');
  };
  const migration = rolloutOf({ steps: [5, 50], to: 'canary', bakeMs: 0, waitMs: 60_000 });
  const row = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { move }),
  );
  expect(row).toMatchObject({ status: 'done', weight: 50 });
});

test('evidence that does not come calls a human, who may let it go on', async () => {
  await driving.begin({ phase: 'canary', weight: 25 });
  const migration = rolloutOf({ steps: [25], to: 'canary', bakeMs: 20, waitMs: 100 });
  const row = await driving.drive(migration);
  expect(row?.status).toBe('paused');
  expect(row?.why).toContain('canary answers: 0, limit at least 10');
  await driving.rollouts.change(await driving.row(), {
    status: 'running',
    anew: true,
    watch: null,
  });
  await driving.answered(row?.version ?? 0, 'monolith', 20, 0);
  await driving.answered(row?.version ?? 0, 'service', 20, 0);
  expect((await driving.drive(migration))?.status).toBe('done');
});

test('an advance that is done and fails afterwards is its own', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  const move = async (request: MoveRequest): Promise<MoveResult> => {
    await driving.move(request);
    throw new BanyanError('PREFLIGHT_FAILED', 'what comes after it');
  };
  const migration = rolloutOf({ steps: [5, 50], to: 'canary', bakeMs: 0 });
  const row = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { move }),
  );
  expect(row).toMatchObject({ status: 'done', weight: 50 });
});

test('a switch that nobody is at any more is brought to an end', async () => {
  await driving.begin({ phase: 'canary', weight: 5 });
  await driving.set({ holding: true });
  const recover = async (): Promise<boolean> => {
    await driving.set({ holding: false });
    return true;
  };
  const migration = rolloutOf({ steps: [5], to: 'canary', bakeMs: 0 });
  const row = await driving.withTraffic(
    () => 1,
    () => driving.drive(migration, { coordinator: { move: driving.move, recover } }),
  );
  expect(row?.status).toBe('done');
});
