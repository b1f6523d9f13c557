import { expect, test } from '@jest/globals';
import { numericTypmod } from '../../test/support/pg-types.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceType } from './debezium/source.ts';
import type { Finding } from './finding.ts';
import { checkRecordForm } from './record-findings.ts';

type Types = Readonly<Record<string, SourceType>>;

const of = (name: string, typmod = -1): SourceType => ({ name, typmod });
const PRICE = of('numeric', numericTypmod(8, 2));

function found(
  tables: Readonly<Record<string, Types>>,
  modes: Partial<Modes>,
  schemas = false,
): Finding[] {
  const given = Object.entries(tables).map(([table, types]) => ({
    ...({
      schema: 'public',
      table,
      identity: 'default',
      label: `monolith's public.${table}`,
    } as const),
    columns: Object.entries(types).map(([name, type]) => ({
      ...{ name, type, identity: false, notNull: false },
    })),
  }));
  return checkRecordForm('records of shop', given, { ...DEBEZIUM_DEFAULTS, ...modes }, schemas);
}

const DECIMALS = "Set changeLog.kafka.records.decimals to 'string' or 'precise'.";
const LAYOUT = "Use changeLog.kafka.layout 'changes', which keeps every type.";

test.each<[string, SourceType, Partial<Modes>, RegExp, string, Partial<Modes> | undefined]>([
  ['a number', PRICE, { decimals: 'double' }, /as a double/, DECIMALS, { decimals: 'string' }],
  ['an amount', of('money'), { decimals: 'double' }, /as a double/, DECIMALS, {}],
  [
    'a moment',
    of('timestamp'),
    { temporals: 'connect' },
    /cut off to milliseconds/,
    "Set changeLog.kafka.records.temporals to 'adaptive', 'microseconds', 'nanoseconds' or 'isostring'.",
    { temporals: 'isostring' },
  ],
  [
    'an interval',
    of('interval'),
    {},
    /months and days/,
    "Set changeLog.kafka.records.intervals to 'string'.",
    { intervals: 'string' },
  ],
  ['a zone', of('timetz'), {}, /the zone of a time/, LAYOUT, undefined],
  ['a length', of('varbit', 8), {}, /the length of a bit string/, LAYOUT, undefined],
  ['a name', of('name'), {}, /NULL for a column of type name/, LAYOUT, undefined],
  ['a whole type', of('pg_lsn'), {}, /does not carry type pg_lsn/, LAYOUT, undefined],
])('%s that is lost is an error, with what keeps it', (_, type, modes, what, hint, better) => {
  const [one, ...more] = found({ m: { a: type, nm: of('text') } }, modes);
  expect(more).toEqual([]);
  expect(one).toMatchObject({ severity: 'error', where: 'records of shop', hint });
  expect(one?.what).toMatch(/^monolith's public\.m\.a: in layout 'table' /);
  expect(one?.what).toMatch(what);
  if (better) expect(found({ m: { a: type } }, better)).toEqual([]);
});

test('numbers without their scale are minded, all in one finding', () => {
  const tables = { m: { nm: of('text'), prc: PRICE, any: of('numeric') }, n: { sum: PRICE } };
  const decimals = 'precise';
  expect(found(tables, { decimals })).toEqual([
    {
      ...{ severity: 'warning', where: 'records of shop' },
      what: expect.stringMatching(
        /^numbers of monolith's public\.m\.prc, monolith's public\.n\.sum are written without their scale/,
      ) as unknown,
      hint: "Set changeLog.kafka.records.decimals to 'string', or schemas to true.",
    },
  ]);
  expect(found(tables, { decimals }, true)).toEqual([]);
  expect(found(tables, { decimals: 'string' })).toEqual([]);
});
