// Types of PostgreSQL with texts of theirs, as PostgreSQL prints them: what the codec's laws are
// tried on.
import fc from 'fast-check';
import { printDate, printMoment, printClock } from '../../sync/domain/debezium/calendar.ts';
import { printArray } from '../../sync/domain/debezium/arrays.ts';
import { printDecimal } from '../../sync/domain/debezium/decimals.ts';
import { printFloat } from '../../sync/domain/debezium/floats.ts';
import { printHstore } from '../../sync/domain/debezium/hstore.ts';
import type { SourceType } from '../../sync/domain/debezium/source.ts';

export interface Sampled {
  readonly type: SourceType;
  readonly text: fc.Arbitrary<string>;
}

const of = (name: string, text: fc.Arbitrary<string>, typmod = -1): Sampled => ({
  type: { name, typmod },
  text,
});

const integer = (bits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }).map(String);

export const numericTypmod = (precision: number, scale: number): number =>
  ((precision << 16) | scale) + 4;

const words = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));

const scaled = (digits: number, scale: number): fc.Arbitrary<string> =>
  fc
    .bigInt({ min: -(10n ** BigInt(digits)) + 1n, max: 10n ** BigInt(digits) - 1n })
    .map((value) => printDecimal(value, scale));

/** No zeros at the end: the connector drops them. */
const bare = fc
  .tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: 0, max: 30 }))
  .map(([value, scale]) => printDecimal(value, scale))
  .map((text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text))
  .map((text) => (text === '-0' ? '0' : text));

const days = fc.integer({ min: -2_440_000, max: 2_000_000 });
const dates = fc.oneof(days.map(printDate), fc.constantFrom('infinity', '-infinity'));
const micros = (digits: number): fc.Arbitrary<number> =>
  fc
    .integer({ min: 0, max: 86_400_000_000 - 1 })
    .map((value) => value - (value % 10 ** (6 - digits)));
const clocks = (digits: number): fc.Arbitrary<string> =>
  fc.oneof(
    micros(digits).map((value) => printClock(value)),
    fc.constant('24:00:00'),
  );
const moments = (digits: number, zone = ''): fc.Arbitrary<string> =>
  fc.oneof(
    fc
      .tuple(days, micros(digits))
      .map(([day, micro]) => printMoment({ days: day, micros: micro }, zone)),
    fc.constantFrom('infinity', '-infinity'),
  );

const bits = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom('0', '1'), { minLength: min, maxLength: max })
    .map((list) => list.join(''));

const bytes = fc
  .uint8Array({ maxLength: 20 })
  .map((list) => `\\x${Buffer.from(list).toString('hex')}`);

const json = fc.json({ maxDepth: 2 });
const special = fc.constantFrom('NaN', 'Infinity', '-Infinity');

const hstore = fc
  .uniqueArray(fc.tuple(words, fc.option(words)), { selector: ([key]) => key, maxLength: 4 })
  .map(printHstore);

const arrayOf = ({ type, text }: Sampled): Sampled => ({
  type: { name: `_${type.name}`, typmod: type.typmod, element: type },
  text: fc.array(fc.option(text), { maxLength: 4 }).map((items) => printArray(items)),
});

const int4 = of('int4', integer(32));
const text = of('text', words);
const timestamp = of('timestamp', moments(6));
const date = of('date', dates);
const money = fc.constantFrom('$0.00', '$1,234.50', '-$99,999,999.99');
const intervals = fc.constantFrom(
  ...['00:00:00', '1 mon', '1 year 2 mons 3 days 04:05:06.789', '-00:00:01.5', '3 days'],
  ...['-1 years -2 mons +3 days -04:05:06', '1 day -00:00:01', '-178000000 years', '100:00:00'],
);

/** One of each kind that the connector has, and some that it has not. */
export const SAMPLED: Readonly<Record<string, Sampled>> = {
  int2: of('int2', integer(16)),
  int4,
  int8: of('int8', integer(64)),
  oid: of('oid', fc.nat({ max: 4_294_967_295 }).map(String)),
  bool: of('bool', fc.constantFrom('t', 'f')),
  float4: of(
    'float4',
    fc.oneof(
      fc
        .float({ noNaN: true, noDefaultInfinity: true })
        .map((value) => printFloat(value === 0 ? '0' : String(value), 32)),
      special,
    ),
  ),
  float8: of(
    'float8',
    fc.oneof(
      fc
        .double({ noNaN: true, noDefaultInfinity: true })
        .map((value) => printFloat(value === 0 ? '0' : String(value), 64)),
      special,
    ),
  ),
  amount: of('numeric', scaled(12, 2), numericTypmod(12, 2)),
  whole: of('numeric', scaled(30, 0), numericTypmod(30, 0)),
  numeric: of('numeric', bare),
  money: of('money', money),
  text,
  varchar: of('varchar', words, 24),
  bpchar: of(
    'bpchar',
    words.map((word) => word.padEnd(20)),
    24,
  ),
  citext: of('citext', words),
  bytea: of('bytea', bytes),
  bit: of('bit', bits(1, 1), 1),
  bits: of('bit', bits(13, 13), 13),
  varbit: of('varbit', bits(0, 9)),
  date,
  time: of('time', clocks(6)),
  time0: of('time', clocks(0), 0),
  timetz: of(
    'timetz',
    clocks(6).map((clock) => `${clock}+05:30`),
  ),
  timestamp,
  timestamp3: of('timestamp', moments(3), 3),
  timestamptz: of('timestamptz', moments(6, '+00')),
  timestamptz0: of('timestamptz', moments(0, '+00'), 0),
  interval: of('interval', intervals),
  uuid: of('uuid', fc.uuid()),
  json: of('json', json),
  xml: of('xml', fc.constantFrom('<a/>', '<a b="c">d</a>')),
  mood: {
    type: { name: 'mood', typmod: -1, labels: ['sad', 'ok'] },
    text: fc.constantFrom('sad', 'ok'),
  },
  range: of('int4range', fc.constantFrom('[1,5)', 'empty', '(,3)')),
  inet: of('inet', fc.constantFrom('10.0.0.1', '2001:db8::1/64')),
  hstore: of('hstore', hstore),
  tsvector: of('tsvector', fc.constantFrom("'a':1 'b':2A", "'it''s'")),
  ltree: of('ltree', fc.constantFrom('top.science', 'top')),
  lsn: of('pg_lsn', fc.constant('16/B374D848')),
  point: of('point', fc.constant('(1,2)')),
  ints: arrayOf(int4),
  texts: arrayOf(text),
  dates: arrayOf(date),
  moments: arrayOf(timestamp),
  amounts: arrayOf(of('numeric', scaled(12, 2), numericTypmod(12, 2))),
  monies: arrayOf(of('money', money)),
};
