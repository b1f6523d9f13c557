// Chunks of several tables in one stream: one that must be read again takes along those of its own
// table behind it, and none of another table.
import { expect, test } from '@jest/globals';
import type { Chunk, Mark } from './chunk.ts';
import { Copying } from './copying.ts';

const SNAPSHOT = { xmin: 10, xmax: 10, running: new Set<number>() };

const CHUNK: Chunk = {
  ...{ table: 'a', size: 0, rows: () => [] },
  progress: { kind: 'copy', cursor: null, last: false },
};

const mark = (kind: 'low' | 'high', window: number): Mark => ({
  ...{ kind, window },
  ...{ flow: 'flow', run: 'run' },
});

test('a chunk that must be read again takes along the one behind it, and no other table', async () => {
  const copying = new Copying('flow', 'run');
  const chains = { a: copying.chain('a'), b: copying.chain('b') };
  const open = async (table: 'a' | 'b', chain = chains[table]) => {
    const marks: number[] = [];
    const chunk: Chunk = {
      ...{ table, size: 0, rows: () => [] },
      progress: { kind: 'copy', cursor: null, last: false },
    };
    await copying.window(
      [table],
      {
        low: (window) => Promise.resolve(marks.push(window)),
        read: () => Promise.resolve({ snapshot: SNAPSHOT, chunk: () => chunk }),
        high: () => Promise.resolve(),
      },
      new AbortController().signal,
      chain,
    );
    return marks[0] ?? 0;
  };
  const [first, second, other] = [await open('a'), await open('a'), await open('b')];
  copying.low(mark('low', first));
  copying.truncated('a');
  copying.low(mark('low', other));
  expect(copying.high(mark('high', first))).toBeUndefined();
  copying.low(mark('low', second));
  expect(copying.high(mark('high', second))).toBeUndefined();
  expect(copying.high(mark('high', other))).toMatchObject({ table: 'b' });
  // What was read afterwards counts.
  const again = await open('a', copying.chain('a'));
  copying.low(mark('low', again));
  expect(copying.high(mark('high', again))).toMatchObject({ table: 'a' });
});

test('what was committed before a flow began is not kept for the sake of what it copies', async () => {
  const copying = new Copying('flow', 'run');
  copying.suspect({ xmin: 10, xmax: 20, running: new Set([10]) });
  // No read from now on could really miss the first of them: it would spoil the chunk if it were kept.
  const misses = async (xid: number): Promise<boolean> => {
    copying.delivered(xid);
    let window = 0;
    await copying.window(
      ['a'],
      {
        low: (id) => Promise.resolve((window = id)),
        read: () =>
          Promise.resolve({
            snapshot: { xmin: xid, xmax: 30, running: new Set([xid]) },
            chunk: () => CHUNK,
          }),
        high: () => Promise.resolve(),
      },
      new AbortController().signal,
      copying.chain('a'),
    );
    copying.low(mark('low', window));
    return copying.high(mark('high', window)) === undefined;
  };
  expect(await misses(15)).toBe(false);
  expect(await misses(20)).toBe(true);
});
