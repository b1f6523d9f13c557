import { expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { Lanes } from './lanes.ts';

test('so many pieces of work run at a time, the others in the order of asking', async () => {
  const lanes = new Lanes(2);
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const all = [0, 1, 2, 3].map((nth) =>
    lanes.run(() => {
      begun.push(nth);
      return new Promise<void>((resolve, reject) => {
        ends.push(
          nth === 0
            ? () => {
                reject(new Error('no'));
              }
            : resolve,
        );
      });
    }),
  );
  const settled = Promise.allSettled(all);
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  for (let nth = 0; nth < 4; nth++) {
    ends[nth]?.();
    await new Promise(setImmediate);
    expect(begun).toEqual([0, 1, 2, 3].slice(0, nth + 3));
  }
  expect((await settled).map((one) => one.status)).toEqual([
    'rejected',
    ...Array<string>(3).fill('fulfilled'),
  ]);
});

test('none begins until it may, and then they go on by themselves', async () => {
  let may = false;
  const lanes = new Lanes(2, () => may);
  const { ask, begun, ends } = asking(lanes);
  const all = [1, 2].map(ask);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect([begun, lanes.isHeldBack]).toEqual([[], true]);
  may = true;
  await waitFor(() => begun.length === 2, { timeoutMs: 10_000, what: 'both to begin' });
  expect(lanes.isHeldBack).toBe(false);
  for (const end of ends.values()) end();
  expect(await Promise.all(all)).toEqual([1, 2]);
});

/** Work that says when it begins, and ends when it is told. */
function asking(lanes: Lanes): {
  ask: (nth: number) => Promise<number>;
  begun: number[];
  ends: Map<number, () => void>;
} {
  const begun: number[] = [];
  const ends = new Map<number, () => void>();
  const ask = (nth: number): Promise<number> =>
    lanes.run(() => {
      begun.push(nth);
      return new Promise((resolve) => {
        ends.set(nth, () => {
          resolve(nth);
        });
      });
    });
  return { ask, begun, ends };
}
