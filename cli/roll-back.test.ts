import { expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import type { MoveRequest, MoveResult } from '../control/domain/move.ts';
import type { Phase } from '../control/domain/phase.ts';
import { describeMove, rollBack } from './roll-back.ts';

/** A coordinator that moves from one phase, and refuses to move to another. */
function coordinator(
  from: Phase,
  never?: Phase,
): { move: (request: MoveRequest) => Promise<MoveResult>; asked: MoveRequest[] } {
  const asked: MoveRequest[] = [];
  let at = from;
  return {
    asked,
    move: (request) => {
      asked.push(request);
      const { capability, to = at } = request;
      if (to === never)
        return Promise.reject(
          new BanyanError('GATE_REFUSED', 'sync back is silent', { hint: 'roll back again' }),
        );
      const result = { capability, from: at, to, weight: 0, gates: [] };
      at = to;
      return Promise.resolve(result);
    },
  };
}

test('several phases are as many moves, each named', async () => {
  const it = coordinator('cutover');
  const moves = await rollBack(it, 'cutover', { capability: 'catalog', to: 'sync', why: 'slow' });
  expect(moves.map(({ from, to }) => `${from} ${to}`)).toEqual([
    'cutover canary',
    'canary shadow',
    'shadow sync',
  ]);
  expect(it.asked.map(({ event, to, why }) => [event, to, why])).toEqual([
    ['rollback', 'canary', 'slow'],
    ['rollback', 'shadow', 'slow'],
    ['rollback', 'sync', 'slow'],
  ]);
});

test('a refused step says where it stands', async () => {
  const it = coordinator('canary', 'sync');
  const refused = rollBack(it, 'canary', { capability: 'catalog', to: 'monolith' });
  await expect(refused).rejects.toMatchObject({ code: 'GATE_REFUSED', hint: 'roll back again' });
  await expect(refused).rejects.toThrow(
    'catalog: canary → shadow\nit is in shadow now, and goes no further: sync back is silent',
  );
  expect(it.asked).toHaveLength(2);
});

test('one phase, or none, is one question to the coordinator', async () => {
  for (const to of [undefined, 'shadow', 'cutover'] as const) {
    const it = coordinator('shadow');
    await rollBack(it, 'shadow', { capability: 'catalog', ...(to && { to }) });
    expect(it.asked).toHaveLength(1);
    expect(it.asked[0]?.to).toBe(to);
  }
});

test('what keeps nobody from going back, but from going on again, is told with what mends it', () => {
  const gate = { gate: 'way forward', figure: '1 rights missing', limit: 'none missing' } as const;
  const moved = { capability: 'catalog', from: 'cutover', to: 'canary', weight: 0 } as const;
  const told = (given: MoveResult['gates'][number]): string =>
    describeMove({ ...moved, gates: [given] });
  expect(
    told({ ...gate, verdict: 'fail', advisory: true, note: 'a lacks b', remedy: 'GRANT b' }),
  ).toContain(
    'way forward: 1 rights missing (limit none missing): it has gone back all the same, and must be mended before it goes on again; a lacks b; GRANT b',
  );
  expect(told({ ...gate, verdict: 'pass', advisory: true })).not.toContain('all the same');
});
