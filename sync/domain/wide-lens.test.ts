// The lens laws over several columns: what goes there comes back the same, or is refused by name.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { concat, custom, pack, split, unpack, type WideLens } from '../../control/lenses.ts';
import { membersOf } from './json-object.ts';
import { LensError } from './lens.ts';
import { compileWide, type WideColumns } from './wide-lens.ts';

type Row = (string | null)[];

const TYPES = ['text', 'numeric', 'boolean', 'jsonb', 'uuid'];
const json = fc.json({ maxDepth: 2 }).filter((one) => one !== 'null');
const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), fc.stringMatching(/^\d{0,9}$/))
  .map(([whole, fraction]) => (fraction === '' ? String(whole) : `${whole}.${fraction}`));
const VALUES: Record<string, fc.Arbitrary<string>> = {
  text: fc.string({ unit: 'binary' }),
  numeric: fc.oneof(decimal, fc.constantFrom('NaN', 'Infinity', '-Infinity')),
  boolean: fc.constantFrom('t', 'f'),
  jsonb: json,
  uuid: fc.uuid(),
};
const typedRow = fc
  .array(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 5 })
  .chain((types) =>
    fc.record({
      types: fc.constant(types),
      row: fc.tuple(
        ...types.map((type) => fc.option(VALUES[type] ?? fc.string(), { freq: 3, nil: null })),
      ),
    }),
  );
const plain: WideColumns = { partTypes: ['text', 'text', 'text'], wholeNotNull: false };

function refusedOrBack(lens: WideLens, columns: WideColumns, row: Row): boolean {
  const { get, put } = compileWide(lens, columns);
  try {
    expect(put?.(get(row))).toEqual(row);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(LensError);
    return false;
  }
}

test('packing takes each row there and back, whatever its types, without losing a digit', () => {
  fc.assert(
    fc.property(
      typedRow,
      fc.boolean(),
      fc.constantFrom('keep', 'omit'),
      (typed, notNull, nulls) => {
        const from = Object.fromEntries(
          typed.types.map((_, index) => [`c${index}`, `k"${index}\\`]),
        );
        const lens = pack(from, 'x', { nulls: nulls as 'keep' });
        const columns = { partTypes: typed.types, wholeNotNull: notNull };
        expect(refusedOrBack(lens, columns, typed.row)).toBe(true);
        // What it makes is JSON, and says what the values are.
        const [whole = null] = compileWide(lens, columns).get(typed.row);
        if (whole !== null) JSON.parse(whole);
      },
    ),
  );
});

test('unpacking takes each object of the named keys there and back, and no other', () => {
  const member = fc.oneof(fc.constant(null), fc.string(), fc.integer(), fc.boolean(), fc.object());
  fc.assert(
    fc.property(
      fc.record({ a: member, b: member, other: member }, { requiredKeys: [] }),
      fc.constantFrom('text', 'bigint', 'boolean', 'jsonb'),
      fc.constantFrom('keep', 'omit'),
      (given, type, nulls) => {
        const lens = unpack('x', { a: 'a', b: 'b' }, { nulls: nulls as 'keep' });
        const columns = { partTypes: [type, type], wholeNotNull: true };
        const text = JSON.stringify(given, null, 1);
        const { get, put } = compileWide(lens, columns);
        const fits = (value: unknown): boolean =>
          value === null
            ? nulls === 'keep'
            : type === 'jsonb' ||
              typeof value === { text: 'string', bigint: 'number', boolean: 'boolean' }[type];
        const named = ['a', 'b'] as const;
        const isFit =
          !('other' in given) &&
          named.every((key) => (key in given ? fits(given[key]) : nulls === 'omit'));
        if (!isFit) expect(() => get([text])).toThrow(LensError);
        else expect(JSON.parse(put?.(get([text]))[0] ?? '')).toEqual(JSON.parse(text));
      },
    ),
  );
});

test('a number keeps each of its digits on the way through an object', () => {
  const { get, put } = compileWide(pack({ n: 'n' }, 'x'), {
    partTypes: ['numeric'],
    wholeNotNull: true,
  });
  const n = '12345678901234567890.123456789012345678900';
  expect(get([n])).toEqual([`{"n": ${n}}`]);
  expect(put?.([`{"n":${n}}`])).toEqual([n]);
});

test.each(['concat', 'split'] as const)(
  '%s takes there and back what it does not refuse',
  (kind) => {
    const part = fc.option(fc.stringMatching(/^[ab,]{0,3}$/), { freq: 4, nil: null });
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.tuple(part, part, part),
        fc.constantFrom(',', ',,', ', '),
        fc.constantFrom('keep', 'omit'),
        (row, separator, nulls) => {
          const option = { nulls: nulls as 'keep' };
          const isOne =
            kind === 'concat'
              ? refusedOrBack(concat(['a', 'b', 'c'], 'x', separator, option), plain, row)
              : refusedOrBack(split('x', ['a', 'b', 'c'], separator, option), plain, [
                  row.map((one) => one ?? '').join(separator),
                ]);
          if (isOne) accepted += 1;
          // Parts without the separator and without NULL are always taken.
          const isPlain = row.every((one) => one !== null && one !== '' && !one.includes(','));
          if (isPlain) expect(isOne).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(50);
  },
);

test('a joined text is split at the first separators: the last part may hold one', () => {
  const { get, put } = compileWide(concat(['first', 'last'], 'name', ' '), {
    partTypes: ['text', 'text'],
    wholeNotNull: false,
  });
  expect(get(['Ludwig', 'van Beethoven'])).toEqual(['Ludwig van Beethoven']);
  expect(put?.(['Ludwig van Beethoven'])).toEqual(['Ludwig', 'van Beethoven']);
  expect(() => get(['Jean Paul', 'Sartre'])).toThrow(/"Jean Paul Sartre"/);
  expect(() => get([null, 'Plato'])).toThrow(/nulls: 'omit'/);
  expect(() => put?.(['Plato'])).toThrow(/fewer than 2 parts/);
  expect(get([null, null])).toEqual([null]);
});

test('a custom pair that does not hold its law is found with the first value that shows it', () => {
  const lens = custom({
    monolith: ['a'],
    service: ['b'],
    get: ([a = null]) => [a?.toLowerCase() ?? null],
    put: ([b = null]) => [b],
  });
  const { get, put } = compileWide(lens, plain);
  expect(get(['abc'])).toEqual(['abc']);
  expect(() => get(['Abc'])).toThrow(/\("Abc"\) becomes \("abc"\), which becomes \("abc"\)/);
  expect(put?.(['abc'])).toEqual(['abc']);
  // The service may write what the monolith could never have meant.
  expect(() => put?.(['Abc'])).toThrow(LensError);
  const few = custom({ monolith: ['a', 'b'], service: ['c'], get: () => ['x'], put: () => ['y'] });
  expect(() => compileWide(few, plain).put?.(['x'])).toThrow(/1 values for 2 columns/);
  const broken = custom({
    monolith: ['a'],
    service: ['b'],
    get: () => {
      throw new TypeError('no idea');
    },
  });
  expect(() => compileWide(broken, plain).get(['x'])).toThrow(
    /get of a custom lens threw.*no idea/,
  );
  expect(compileWide(broken, plain).put).toBeUndefined();
});

test('the members of an object are its raw texts', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.constantFrom(0, 2),
      (given, space) => {
        const members = membersOf(JSON.stringify(given, null, space));
        expect(
          members && Object.fromEntries([...members].map(([k, v]) => [k, JSON.parse(v)])),
        ).toEqual(JSON.parse(JSON.stringify(given)));
      },
    ),
  );
});

test.each([
  '[]',
  '"a"',
  '1',
  'null',
  '',
  '{',
  '{"a"}',
  '{"a": }',
  '{"a": 1,}',
  '{"a":1} x',
  '{"a":1,"a":2}',
  '{a:1}',
  '{"a":1 2}',
  '{"a":[}',
])('%s is no object to be taken apart', (text) => {
  expect(membersOf(text)).toBeUndefined();
});
