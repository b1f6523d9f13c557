import { expect, test } from '@jest/globals';
import type { Lsn } from '../../core/postgres/lsn.ts';
import { thinned, type Saying } from './connector-sayings.ts';

const change = { kind: 'message', prefix: 'banyan', content: '' } as const;
const beat = (lsn: Lsn): Saying => ({ change, lsn });

test('of what tells how far the source is, what waits is bounded: the first, the last, and some between', () => {
  let waiting: Saying[] = [];
  for (let lsn = 1n; lsn <= 20_000n; lsn++) {
    waiting = thinned([...waiting, beat(lsn)]);
    if (waiting.length > 64 || waiting[0]?.lsn !== 1n || waiting.at(-1)?.lsn !== lsn)
      throw new Error(`${waiting.length} wait at ${lsn}`);
  }
  // However long it stood still: when it catches up, its progress is seen.
  const gaps = waiting
    .slice(1)
    .map(({ lsn = 0n }, index) => Number(lsn - (waiting[index]?.lsn ?? 0n)));
  expect(Math.max(...gaps)).toBeLessThan(20_000 / 20);
});

test('what must be said is never left out, and all stay in their order', () => {
  let waiting: Saying[] = [];
  for (let lsn = 1n; lsn <= 1_000n; lsn++) {
    waiting = thinned([...waiting, beat(lsn)]);
    if (lsn % 100n === 0n) waiting.push({ change, lsn, exact: true }, { change });
  }
  expect(waiting.filter(({ exact }) => exact).map(({ lsn }) => lsn)).toEqual(
    Array.from({ length: 10 }, (_, index) => BigInt(index + 1) * 100n),
  );
  expect(waiting.filter(({ lsn }) => lsn === undefined)).toHaveLength(10);
  const places = waiting.flatMap(({ lsn }) => lsn ?? []);
  expect(places).toEqual([...places].sort((a, b) => Number(a - b)));
});
