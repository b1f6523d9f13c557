import { expect, test } from '@jest/globals';
import { lifeOf, noteOf, owesEvents, parseNote, type RelayStanding } from './relay-life.ts';

const life = lifeOf('7300000000000000000', 2, 0x1_0000_0010n);
const leaving = { ...life, leaves: 0x1_0000_0020n };

test('a note says of which life a slot is, and up to where it is still needed', () => {
  expect(parseNote(noteOf(life))).toEqual(life);
  expect(parseNote(noteOf(leaving))).toEqual(leaving);
  expect(noteOf(leaving)).toBe(`${noteOf(life)}; it leaves at 1/20`);
  expect(parseNote(`${noteOf(leaving)}!`)).toBeUndefined();
});

const slot = (confirmed: bigint, isLost = false): RelayStanding['slot'] => ({ confirmed, isLost });
const listed = ['public.outbox', 'public.other'];

test.each<[string, boolean, RelayStanding, string[]?]>([
  ['before anybody has noted its end', true, { life, slot: slot(99n << 32n), listed }],
  ['up to its end', true, { life: leaving, slot: slot(0x1_0000_001fn), listed }],
  ['and not from there on', false, { life: leaving, slot: slot(0x1_0000_0020n), listed }],
  ['not of a slot that is lost', false, { life: leaving, slot: slot(0n, true), listed }],
  ['not of one that is gone', false, { life: leaving, slot: undefined, listed }],
  ['not of one that was never finished', false, { life: undefined, slot: slot(0n), listed }],
  ['not where none is published', false, { life: leaving, slot: slot(0n), listed: ['public.x'] }],
  ['not where none is named', false, { life: leaving, slot: slot(0n), listed }, []],
])('a relay owes its outbox events %s', (_, owes, standing, outboxes = ['public.outbox']) => {
  expect(owesEvents(standing, outboxes)).toBe(owes);
});
