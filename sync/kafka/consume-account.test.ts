// How far a flow has looked is noted, for retention may delete what lies before it; also of what had no
// effect, and also when nothing comes any more.
import { expect, test } from '@jest/globals';
import type { Piece } from '../domain/change.ts';
import { Account, NOTE_MS } from './consume-account.ts';

function piece(commit: number, ...names: string[]): Piece {
  const commitLsn = BigInt(commit);
  const position = { timeline: 1, commitLsn, seq: 1 };
  return {
    head: { xid: commit, commitLsn, commitMs: 1, origin: undefined },
    ...{ changes: [], size: 0, bytes: 0, firstSeq: 1, endLsn: commitLsn + 1n },
    read: {
      places: new Map(names.map((name) => [name, { next: commitLsn, position, part: 0 }])),
      ...{ complete: position, due: false },
    },
  };
}

const noted = (pieces: readonly Piece[]): [string, bigint][] =>
  pieces.flatMap(({ read }) =>
    read?.due ? Array.from(read.places, ([name, { next }]): [string, bigint] => [name, next]) : [],
  );

let clock = 0;

const account = (): Account =>
  new Account(
    () => Promise.resolve(),
    () => clock,
  );

test('now and then it is noted, with the partitions of what came before', () => {
  const own = account();
  expect(noted(own.hand([piece(10, 'a/0'), piece(20, 'b/0')]))).toEqual([]);
  clock += NOTE_MS;
  expect(noted(own.hand([piece(30, 'a/0')]))).toEqual([
    ['a/0', 30n],
    ['b/0', 20n],
  ]);
  expect(noted(own.hand([piece(40, 'b/0')]))).toEqual([]);
});

test('what came last is owed after a while in which nothing came, and once', () => {
  const own = account();
  expect(own.owes).toBe(false);
  own.hand([piece(10, 'a/0')]);
  clock += NOTE_MS - 1;
  expect(own.owes).toBe(false);
  clock += 1;
  expect(own.owes).toBe(true);
  const [note] = own.note();
  expect(note).toMatchObject({ changes: [], size: 0, endLsn: 11n, read: { due: true } });
  expect(noted(note ? [note] : [])).toEqual([['a/0', 10n]]);
  expect(own.owes).toBe(false);
  expect(own.note()).toEqual([]);
});

test('at the end it is noted at once', () => {
  const own = account();
  own.hand([piece(10, 'a/0'), piece(20, 'a/0')]);
  expect(noted(own.note())).toEqual([['a/0', 20n]]);
});
