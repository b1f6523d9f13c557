// Where a relay may go on, by what its topics end with: what was lost, what is of another life, what
// retention has taken, and how far back one has to look for it.
import { expect, test } from '@jest/globals';
import { lifeOf, noteOf, parseNote } from '../../control/domain/relay-life.ts';
import type { Mark } from './debezium/position.ts';
import {
  formatChain,
  isSettled,
  parseChain,
  stand,
  type ReportedChain,
  type SlotStanding,
} from './footing.ts';

const life = lifeOf('7', 2, 100n);
const standing: SlotStanding = { life, confirmed: 150n, timeline: 2 };
const fresh: SlotStanding = { life, confirmed: 100n, timeline: 2 };

const mark = (lsn: bigint, more: Partial<Mark> = {}): Mark => ({
  ...{ life: life.name, endLsn: lsn + 5n, completeTo: lsn + 5n },
  position: { timeline: 2, commitLsn: lsn, seq: 1 },
  ...more,
});

/** What a server wrote that is dead by now. */
const older = (lsn: bigint, timeline: number, system = '7'): Mark =>
  mark(lsn, {
    life: lifeOf(system, timeline, 1n).name,
    position: { timeline, commitLsn: lsn, seq: 1 },
  });

test('the note of a life says its timeline; one of before that keeps its name and says none', () => {
  expect(parseNote(noteOf(life))).toEqual(life);
  expect(parseNote("banyan: the relay's slot was made at 7/0/64")).toEqual({
    ...{ name: '7/0/64', system: '7', timeline: 0, begins: 100n },
  });
  expect(parseNote('a comment of the team')).toBeUndefined();
});

test('the lost tail of an older timeline stands in the way of no new life', () => {
  const marks = [older(900n, 1)];
  expect(stand(fresh, { marks, isCut: false })).toMatchObject({
    kind: 'goes on',
    footing: { life: life.name, after: 100n },
  });
  expect(stand(standing, { marks: [...marks, mark(160n)], isCut: false })).toMatchObject({
    ...{ kind: 'goes on', comesAgain: true },
    footing: { after: 150n },
  });
  // What no flow could tell by its timeline does.
  for (const other of [older(900n, 2), older(900n, 3, '8'), mark(900n, { life: undefined })])
    expect(stand(fresh, { marks: [other], isCut: false })).toEqual({
      kind: 'foreign',
      last: other,
    });
  const unsaid = { ...fresh, life: { ...life, timeline: 0 } };
  expect(stand(unsaid, { marks, isCut: false })).toMatchObject({ kind: 'foreign' });
});

test('where retention has taken all, it goes on from what was reported; where records are missing, it does not', () => {
  const reported = { ...standing, reported: 120n };
  expect(stand(reported, { marks: [], isCut: true })).toMatchObject({
    ...{ kind: 'goes on', last: undefined, comesAgain: false },
    footing: { after: 120n, gone: 150n, last: { position: { commitLsn: 120n }, endLsn: 120n } },
  });
  const afterOf = (one: SlotStanding): unknown => {
    const verdict = stand(one, { marks: [], isCut: true });
    return verdict.kind === 'goes on' && verdict.footing.after;
  };
  expect(afterOf(standing)).toBe(100n);
  expect(afterOf({ ...standing, reported: 90n })).toBe(100n);
  expect(afterOf({ ...standing, reported: 170n })).toBe(150n);
  expect(stand(standing, { marks: [], isCut: false })).toEqual({ kind: 'lost', last: undefined });
  expect(stand(standing, { marks: [mark(110n)], isCut: true })).toMatchObject({ kind: 'lost' });
});

test('what is gone stays said until something has come behind it', () => {
  const idle = mark(120n, { endLsn: 120n, completeTo: 170n, gone: 150n });
  expect(stand(standing, { marks: [idle], isCut: true })).toMatchObject({
    footing: { after: 120n, gone: 150n },
  });
});

test('behind heartbeats it goes on from what came before them', () => {
  const beat = mark(160n, { after: 130n });
  expect(stand({ ...standing, confirmed: 165n }, { marks: [beat], isCut: false })).toMatchObject({
    footing: { after: 130n, last: { position: { commitLsn: 160n } } },
  });
});

test('a fresh slot does not ask for the beginning of an old topic', () => {
  const old = [older(80n, 2)];
  expect(isSettled(fresh, old, 5_000n)).toBe(false);
  expect(isSettled(fresh, old, 500_000n)).toBe(true);
  expect(isSettled(fresh, [], 500_000n)).toBe(false);
  // What would be refused is known at once.
  expect(isSettled(fresh, [older(900n, 2)], 5_000n)).toBe(true);
  // One that has confirmed something asks until it has found that.
  expect(isSettled(standing, [...old, mark(110n)], 500_000n)).toBe(false);
  expect(isSettled(standing, [mark(110n), mark(160n)], 5_000n)).toBe(true);
});

test('what was reported of an emptied topic counts where it is as far as the slot, and of its life', () => {
  const chain: ReportedChain = {
    ...{ life: life.name, confirmed: 150n, after: 130n },
    behind: new Map([['mine', 110n]]),
  };
  expect(parseChain(formatChain(chain))).toEqual(chain);
  expect(parseChain('')).toBeUndefined();
  const footingOf = (given: Partial<ReportedChain>): unknown => {
    const verdict = stand(
      { ...standing, chain: { ...chain, ...given } },
      { marks: [], isCut: true },
    );
    return verdict.kind === 'goes on' && verdict.footing;
  };
  expect(footingOf({})).toMatchObject({ after: 130n, behind: chain.behind });
  expect(footingOf({})).not.toHaveProperty('gone');
  for (const stale of [{ confirmed: 149n }, { after: 151n }, { after: 99n }, { life: '8/2/0/64' }])
    expect(footingOf(stale)).toMatchObject({ after: 100n, gone: 150n });
  // A topic that nobody has cut is not empty by retention.
  expect(stand({ ...standing, chain }, { marks: [], isCut: false })).toMatchObject({
    kind: 'lost',
  });
});

test('of each capability it goes on from what the topic says', () => {
  const behind = new Map([['mine', 110n]]);
  const marks = [mark(160n, { after: 130n, behind })];
  expect(stand({ ...standing, confirmed: 165n }, { marks, isCut: false })).toMatchObject({
    footing: { after: 130n, behind },
  });
});
