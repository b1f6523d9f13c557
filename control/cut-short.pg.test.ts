// Moves that were cut short after the state had changed, and evidence that a switch has made old.
import { afterEach, expect, test } from '@jest/globals';
import { createLogger } from '../core/log.ts';
import { supervise, waitFor } from '../core/lifecycle.ts';
import { caretakerPart } from './caretaker.ts';
import { dieAt, recovered } from '../test/support/coordinators.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  leftovers,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
});

test('a rollback to monolith that died before it had cleaned up finishes when it is asked again', async () => {
  pair = await createPair();
  await advanceTo(pair, 'sync');
  // What the dead one had done: the state, and nothing after it.
  await pair.store.change(
    await pair.store.readOne('catalog'),
    { phase: 'monolith', weight: 0 },
    { who: 'test', event: 'rollback', why: '', evidence: {} },
  );
  expect(await leftovers(pair)).not.toEqual([]);
  const again = { capability: 'catalog', event: 'rollback' } as const;
  expect(await pair.coordinator().move(again)).toMatchObject({ from: 'monolith', to: 'monolith' });
  expect(await leftovers(pair)).toEqual([]);
  await expect(pair.coordinator().move(again)).rejects.toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
});

test('what was verified before the cutover does not let the monolith’s copy go', async () => {
  pair = await createPair();
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await expect(
    pair.coordinator().move({ capability: 'catalog', event: 'advance', to: 'retired' }),
  ).rejects.toMatchObject({ code: 'GATE_REFUSED', message: expect.stringMatching(/never run/) });
  await advanceTo(pair, 'retired');
});

test('a switch that another finishes tells how long writers were held since the first had them held', async () => {
  pair = await createPair();
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
  const wake = await dieAt(pair, 'flipped', { event: 'advance' });
  await pair.db.raw(
    `UPDATE banyan.switch_step SET at = at - interval '1 hour' WHERE step = 'held'`,
  );
  await recovered(pair);
  await wake();
  const [released, ...more] = (await pair.store.journal('catalog')).filter(
    ({ event }) => event === 'release',
  );
  expect(more).toEqual([]);
  const { pauseMs } = released?.evidence as { pauseMs: number };
  expect(pauseMs).toBeGreaterThan(3_600_000);
  const { rows } = await pair.db.raw<{ rows: unknown[] }>(
    `SELECT evidence ->> 'pauseMs' AS ms FROM banyan.switch_step WHERE step = 'released'`,
  );
  expect(rows).toEqual([{ ms: `${pauseMs}` }]);
});

test('a weight is refused where it would be ignored', async () => {
  pair = await createPair();
  await expect(
    pair.coordinator().move({ capability: 'catalog', event: 'advance', weight: 10 }),
  ).rejects.toMatchObject({ code: 'USAGE' });
});

test('what gives up the way back must be asked for by name, and a command given twice moves once', async () => {
  pair = await createPair();
  sync = startSync(pair);
  await advanceTo(pair, 'cutover');
  const coordinator = pair.coordinator();
  const advance = { capability: 'catalog', event: 'advance' } as const;
  await expect(coordinator.move(advance)).rejects.toMatchObject({
    code: 'MOVE_NOT_ALLOWED',
    hint: expect.stringContaining('--to retired'),
  });
  expect(await coordinator.move({ ...advance, to: 'cutover' })).toMatchObject({
    from: 'cutover',
    to: 'cutover',
  });
  await expect(coordinator.move({ ...advance, to: 'canary' })).rejects.toMatchObject({
    code: 'MOVE_NOT_ALLOWED',
  });
  expect((await pair.store.readOne('catalog')).phase).toBe('cutover');
});

test('a way back that a move cut short has left behind is removed by the caretaker', async () => {
  pair = await createPair();
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  // What the dead one had done of canary → shadow: the state, and nothing after it.
  await pair.store.change(
    await pair.store.readOne('catalog'),
    { phase: 'shadow', weight: 0 },
    { who: 'test', event: 'rollback', why: '', evidence: {} },
  );
  const back = (): Promise<string[]> =>
    leftovers(pair as Pair).then((all) => all.filter((one) => one.includes('_back')));
  expect(await back()).not.toEqual([]);
  const stop = new AbortController();
  const caretaker = supervise(
    [
      caretakerPart({
        coordinator: pair.coordinator(),
        store: pair.store,
        capabilities: ['catalog'],
        log: createLogger({}, 'silent'),
      }),
    ],
    stop.signal,
  );
  await waitFor(async () => (await back()).length === 0, {
    timeoutMs: 30_000,
    what: 'the caretaker to tidy up',
  });
  stop.abort();
  await caretaker;
  await streaming(pair, 'to');
  await advanceTo(pair, 'canary');
});
