import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { shiftDecimal } from '../../control/domain/decimal.ts';
import { compileLens, LensError } from './lens.ts';

const NO_REFERENCES = { find: (): undefined => undefined };

const decimal = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.stringMatching(/^(0|[1-9]\d{0,40})$/),
    fc.stringMatching(/^\d{0,30}$/),
  )
  .map(([sign, whole, fraction]) => {
    const text = fraction === '' ? whole : `${whole}.${fraction}`;
    return /[1-9]/.test(text) ? sign + text : text;
  });

/** The value itself: digits and a scale, compared exactly. */
function exact(text: string): { digits: bigint; scale: number } {
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(text);
  if (!match) throw new Error(`not a decimal: ${text}`);
  let digits = BigInt(`${match[2] ?? ''}${match[3] ?? ''}`) * (match[1] === '-' ? -1n : 1n);
  let scale = (match[3] ?? '').length - Number(match[4] ?? 0);
  while (digits !== 0n && digits % 10n === 0n) {
    digits /= 10n;
    scale -= 1;
  }
  return { digits, scale: digits === 0n ? 0 : scale };
}

test('scale gives exactly value × 10^n, and put takes it back', () => {
  fc.assert(
    fc.property(decimal, fc.integer({ min: -12, max: 12 }), (value, digits) => {
      const scaled = shiftDecimal(value, digits);
      const [from, to] = [exact(value), exact(scaled)];
      expect(to.digits).toBe(from.digits);
      if (from.digits !== 0n) expect(to.scale).toBe(from.scale - digits);
      expect(exact(shiftDecimal(scaled, -digits))).toEqual(from);
    }),
  );
});

test('scale understands the exponents of floating point', () => {
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer({ min: -6, max: 6 }),
      (value, digits) => {
        const text = Object.is(value, -0) ? '-0' : value.toExponential();
        const from = exact(text);
        const to = exact(shiftDecimal(text, digits));
        expect(to.digits).toBe(from.digits);
        if (from.digits !== 0n) expect(to.scale).toBe(from.scale - digits);
      },
    ),
  );
});

test.each([
  ['12.50', 2, '1250'],
  ['-0.05', 2, '-5'],
  ['0.00', 2, '0'],
  ['7', -2, '0.07'],
  ['-1', -3, '-0.001'],
  ['1e-05', 2, '0.001'],
  ['1.5e+20', 2, '150000000000000000000' + '00'],
  ['NaN', 2, 'NaN'],
  ['-Infinity', 2, '-Infinity'],
])('%s × 10^%i is %s', (value, digits, expected) => {
  expect(shiftDecimal(value, digits)).toBe(expected);
});

test('an integral result has no fraction: it goes into a bigint', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 16n), max: 10n ** 16n }), (cents) => {
      const sign = cents < 0n ? '-' : '';
      const text = (cents < 0n ? -cents : cents).toString().padStart(3, '0');
      const price = `${sign}${text.slice(0, -2)}.${text.slice(-2)}`;
      expect(shiftDecimal(price, 2)).toBe(cents.toString());
    }),
  );
});

test('values and rename keep the lens law for each value that they know', () => {
  const table = fc.uniqueArray(fc.tuple(fc.string(), fc.string()), {
    selector: ([key]) => key,
    minLength: 1,
  });
  fc.assert(
    fc.property(table, (entries) => {
      const words = new Map(entries.map(([code, word], index) => [code, `${word}${index}`]));
      const lens = compileLens(
        { lens: 'values', to: 'x', values: Object.fromEntries(words) },
        NO_REFERENCES,
      );
      for (const code of Object.keys(Object.fromEntries(words)))
        expect(lens.put(lens.get(code))).toBe(code);
    }),
  );
  const same = compileLens({ lens: 'rename', to: 'x' }, NO_REFERENCES);
  expect(same.put(same.get('a'))).toBe('a');
});

test('a value that the table does not name is an error that names it', () => {
  const lens = compileLens({ lens: 'values', to: 'x', values: { A: 'active' } }, NO_REFERENCES);
  expect(() => lens.get('Z')).toThrow(LensError);
  expect(() => lens.get('Z')).toThrow(/"Z" is not among "A"/);
  expect(() => lens.put('constructor')).toThrow(LensError);
});
