import { expect, test } from '@jest/globals';
import { END_OF_TRANSACTION } from '../../core/postgres/lsn.ts';
import { continuation, parseHistory } from './timeline.ts';

const HISTORY = `1\t0/3000000\tno recovery target specified

# twice promoted
2\t0/5000148\tat restore point "x"
`;
const FORKS = parseHistory(HISTORY);
const at = (timeline: number, commitLsn: bigint, seq = END_OF_TRANSACTION) => ({
  ...{ timeline, commitLsn, seq },
});

test('reads a history file', () => {
  expect(FORKS).toEqual([
    { timeline: 1, at: 0x3000000n },
    { timeline: 2, at: 0x5000148n },
  ]);
  expect(parseHistory('')).toEqual([]);
});

test.each(['one\t0/3000000\treason', '1 nonsense', '1'])('refuses %j as a history', (text) => {
  expect(() => parseHistory(text)).toThrow(RangeError);
});

test.each([
  ['the same timeline', at(3, 0x9000000n)],
  ['the one before, ahead of its switch point', at(2, 0x5000147n)],
  ['an earlier one, ahead of its own switch point', at(1, 0x2ffffffn)],
  ['the middle of a transaction ahead of it', at(2, 0x4000000n, 17)],
  ['a slot’s first position, exactly there', at(2, 0x5000148n, 0)],
])('a checkpoint on %s goes on', (_, position) => {
  expect(continuation(position, 3, FORKS)).toEqual({ kind: 'goes on' });
});

test.each([
  ['behind the switch point', at(2, 0x5000149n), 0x5000148n],
  ['at the switch point with something consumed', at(2, 0x5000148n), 0x5000148n],
  ['between the switch points of two promotions', at(1, 0x4000000n), 0x3000000n],
])('a checkpoint %s is past it', (_, position, switchPoint) => {
  expect(continuation(position, 3, FORKS)).toEqual({ kind: 'past', switchPoint });
});

test('a server on an older timeline, or on another branch, is unrelated', () => {
  expect(continuation(at(3, 0x1n), 2, FORKS.slice(0, 1))).toEqual({ kind: 'unrelated' });
  expect(continuation(at(4, 0x1n), 5, FORKS)).toEqual({ kind: 'unrelated' });
});
