import { expect, test } from '@jest/globals';
import { ParkedAlarm } from './parked-alarm.ts';

test('parked changes are told of at once, every minute as long as there are any, and when there are none', () => {
  const said: string[] = [];
  const take = (level: string) => (_message: string, fields: { parked?: number; why?: string }) =>
    said.push([level, fields.parked, fields.why].join(' '));
  let now = 1_000;
  const alarm = new ParkedAlarm(
    { info: take('info'), warn: take('warn') } as never,
    { capability: 'berths', direction: 'to' },
    () => now,
  );
  const at = (ms: number, parked: number, why: string | null = 'too dear'): string[] => {
    now = 1_000 + ms;
    alarm.look(parked, why);
    return said.splice(0);
  };
  expect(at(0, 0, null)).toEqual([]);
  expect(at(1_000, 1)).toEqual(['warn 1 too dear']);
  expect(at(2_000, 5)).toEqual([]);
  expect(at(60_999, 5)).toEqual([]);
  expect(at(61_000, 7)).toEqual(['warn 7 too dear']);
  expect(at(62_000, 0, null)).toEqual(['info  ']);
  expect(at(63_000, 0, null)).toEqual([]);
  expect(at(64_000, 1)).toEqual(['warn 1 too dear']);
});
