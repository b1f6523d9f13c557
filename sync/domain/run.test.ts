// A topic that relays write into, dying, waking up late and working at once, is read as the one
// sequence that the source wrote; whatever is really missing is seen.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { END_OF_TRANSACTION, type Position } from '../../core/postgres/lsn.ts';
import { HoleError, Run } from './run.ts';

type Line =
  | {
      readonly kind: 'begin' | 'change';
      readonly commit: number;
      readonly seq: number;
      readonly after?: number;
    }
  | { readonly kind: 'end'; readonly commit: number; readonly seq: number };

const at = ({ commit, seq }: Line, timeline = 1): Position => ({
  ...{ timeline, seq },
  commitLsn: BigInt(commit),
});

/** What a relay sends of these transactions, the n-th with sizes[n] changes. */
function linesOf(sizes: readonly number[]): Line[] {
  return sizes.flatMap((size, index) => {
    const commit = 10 + index * 10;
    const before = sizes.findLastIndex((some, at) => at < index && some > 0);
    const after = before === -1 ? 5 : 10 + before * 10;
    return [
      { kind: 'begin', commit, seq: 1 },
      ...Array.from(
        { length: size },
        (_, n) => ({ kind: 'change', commit, seq: n + 1, after }) as const,
      ),
      { kind: 'end', commit, seq: size },
    ] satisfies Line[];
  });
}

/** Changes and ends that are taken, as text. */
function read(run: Run, lines: readonly Line[]): string[] {
  return lines.flatMap((line) => {
    const position = at(line);
    if (line.kind === 'begin') return [];
    const taken =
      line.kind === 'change' ? run.takes(position, BigInt(line.after ?? 0)) : run.ends(position);
    return taken ? [`${line.kind} ${line.commit}/${line.seq}`] : [];
  });
}

const start = (): Run => new Run({ timeline: 1, commitLsn: 5n, seq: 0 });
const sizes = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 8 });

test('relays that send again what was sent, even between each other, are read as one', () => {
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(), { maxLength: 60 }), (all, picks) => {
      const lines = linesOf(all);
      const once = read(start(), lines);
      // Each relay has come so far; one that begins again goes back, none gets beyond the topic's end but in order.
      const topic: Line[] = [];
      let written = 0;
      const relays = [0, 0, 0];
      for (const pick of [...picks, ...lines.map(() => 0), ...lines.map(() => 0)]) {
        const relay = pick % 3;
        const next = relays[relay] ?? 0;
        if (pick % 7 === 3) relays[relay] = Math.min(next, pick % (written + 1));
        else if (next <= written && next < lines.length) {
          topic.push(lines[next] as Line);
          relays[relay] = next + 1;
          written = Math.max(written, next + 1);
        }
      }
      for (const line of lines) topic.push(line);
      expect(read(start(), topic)).toEqual(once);
    }),
  );
});

test('whichever change or end is missing, it is noticed before anything behind it counts', () => {
  fc.assert(
    fc.property(sizes, fc.nat(), (all, pick) => {
      const lines = linesOf([...all, 2]);
      const changes = lines.flatMap((line, index) => (line.kind === 'change' ? [index] : []));
      const missing = changes[pick % changes.length] ?? 0;
      const holed = lines.filter((_, index) => index !== missing);
      expect(() => read(start(), holed)).toThrow(HoleError);
      const ends = lines.flatMap((line, index) => (line.kind === 'end' ? [index] : []));
      const end = ends[pick % (ends.length - 1)] ?? 0;
      const first = lines.find((line, index) => index < end && line.commit === lines[end]?.commit);
      // Of a transaction without changes, its end is all there was.
      if (first && lines[end - 1]?.kind === 'change')
        expect(() =>
          read(
            start(),
            lines.filter((_, index) => index !== end),
          ),
        ).toThrow(HoleError);
    }),
  );
});

test('it goes on in the middle of a transaction, and behind one that is over', () => {
  const lines = linesOf([3, 2]);
  expect(read(new Run({ timeline: 1, commitLsn: 10n, seq: 2 }), lines)).toEqual([
    'change 10/3',
    'end 10/3',
    'change 20/1',
    'change 20/2',
    'end 20/2',
  ]);
  const over = { timeline: 1, commitLsn: 10n, seq: END_OF_TRANSACTION };
  expect(read(new Run(over), lines)).toEqual(['change 20/1', 'change 20/2', 'end 20/2']);
});

test('what a relay of an older server still sends does not count', () => {
  const run = new Run({ timeline: 2, commitLsn: 10n, seq: END_OF_TRANSACTION });
  expect(run.takes(at({ kind: 'change', commit: 20, seq: 1 }, 1))).toBe(false);
  expect(run.takes(at({ kind: 'change', commit: 20, seq: 1 }, 2), 10n)).toBe(true);
});

test('whichever transaction is missing as a whole, it is noticed at the first that comes behind it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 8 }),
      fc.nat(),
      fc.nat(),
      (all, from, count) => {
        const first = from % (all.length - 1);
        const last = first + (count % (all.length - 1 - first));
        const gone = (commit: number): boolean =>
          commit >= 10 + first * 10 && commit <= 10 + last * 10;
        const holed = linesOf(all).filter(({ commit }) => !gone(commit));
        expect(() => read(start(), holed)).toThrow(HoleError);
      },
    ),
  );
});

test('a first change that does not say what it follows is not taken on trust', () => {
  expect(() => start().takes(at({ kind: 'change', commit: 10, seq: 1 }))).toThrow(
    'does not say which transaction it follows',
  );
});
