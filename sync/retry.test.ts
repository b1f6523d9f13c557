// Which letters are tried again together: those that concern the same rows, straight or by way of others.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { BatchContext } from './batch-context.ts';
import type { Relation, RowChange } from './domain/change.ts';
import { Parking, type ParkedLetter } from './parking.ts';
import { retryLetters } from './retry.ts';
import type { Writer } from './writer.ts';

/** The keys of the rows that a letter concerns: one, or two where it moved its row. */
type Rows = readonly number[];

const RELATION: Relation = { schema: 'public', table: 'item', columns: [] };

function letterOf(rows: Rows, index: number, table = 'public.item'): ParkedLetter {
  const change = { kind: 'insert', relation: RELATION, after: [String(index)] } as const;
  return {
    ...{ id: String(index), table, keys: rows.map((row) => [String(row)]), change },
    ...{ mode: 'owner', position: '0/1/0', commitMs: 0, error: null },
  };
}

/** What is tried after all of them together were refused, by index; everything of it goes through. */
async function groups(letters: readonly ParkedLetter[]): Promise<number[][]> {
  const tried: number[][] = [];
  let batch: number[] = [];
  const coalescer = {
    add: (change: RowChange) => {
      if (change.kind === 'insert') batch.push(Number(change.after[0]));
    },
    take: () => new Map(),
  };
  const context = {
    modes: { owner: { coalescer } },
    parking: new Parking('flow', () => ['public.thing']),
  };
  const writer = {
    flush: () => Promise.resolve(),
    transaction: {
      whole: async (work: () => Promise<void>): Promise<unknown> => {
        batch = [];
        await work();
        tried.push(batch);
        // In source order, and folded.
        return tried.length <= 2 ? new Error('refused') : undefined;
      },
    },
  };
  const { applied, failed } = await retryLetters(
    context as unknown as BatchContext,
    writer as unknown as Writer,
    undefined as never,
    letters,
  );
  expect(failed).toEqual([]);
  const found = tried.slice(2);
  expect(applied.map(Number)).toEqual(found.flat());
  return found;
}

const ofRows = (...letters: readonly Rows[]): Promise<number[][]> =>
  groups(letters.map((rows, index) => letterOf(rows, index)));

test('letters of one row wait for each other in their order, and others are apart', async () => {
  expect(await ofRows([1], [2], [1], [3], [2], [1])).toEqual([[0, 2, 5], [1, 4], [3]]);
});

test('a row that moved has the letters of both its keys together, and so on from there', async () => {
  expect(await ofRows([1], [2], [1, 3], [4], [3, 5], [2], [5], [6, 4])).toEqual([
    [0, 2, 4, 6],
    [1, 5],
    [3, 7],
  ]);
  // Two groups become one by their last letter.
  expect(await ofRows([7], [4], [2], [4, 5], [2, 6], [6, 5])).toEqual([[0], [1, 2, 3, 4, 5]]);
});

test('parts of one row are together, whichever table they come from', async () => {
  const letters = [letterOf([1], 0), letterOf([2], 1), letterOf([1], 2, 'public.note')];
  expect(await groups(letters)).toEqual([[0, 2], [1]]);
});

test('any letters are together exactly where rows lead from one to the other', async () => {
  const rows = fc.array(fc.nat(15), { minLength: 1, maxLength: 2 });
  await fc.assert(
    fc.asyncProperty(fc.array(rows, { minLength: 1, maxLength: 30 }), async (letters) => {
      // Each is told the least number of those that it shares a row with, until nobody hears anything new.
      const least = letters.map((_, index) => index);
      for (let before = ''; before !== least.join();) {
        before = least.join();
        for (const [one, own] of letters.entries())
          for (const [other, theirs] of letters.entries())
            if (own.some((row) => theirs.includes(row)))
              least[one] = Math.min(least[one] ?? 0, least[other] ?? 0);
      }
      const expected = Map.groupBy(letters.keys(), (index) => least[index]);
      expect(await ofRows(...letters)).toEqual([...expected.values()]);
    }),
    { numRuns: 300 },
  );
});

test.each([
  ['one row', (): Rows => [1]],
  ['a row that moves on and on', (index: number): Rows => [index, index + 1]],
  ['a row that comes from everywhere', (index: number): Rows => [index, 0]],
])('as many letters as there may be, and more, of %s are together', async (_, rowsOf) => {
  const indices = Array.from({ length: 20_000 }, (__, index) => index);
  const found = await ofRows(...indices.map(rowsOf));
  expect(found.length).toBe(1);
  expect(found[0]?.every((one, index) => one === index)).toBe(true);
  expect(found[0]?.length).toBe(20_000);
});
