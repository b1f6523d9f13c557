// Floating-point numbers as PostgreSQL prints them: the shortest digits that read back the same, an
// exponent only where the number is large or small.

const SPECIAL = new Set(['NaN', 'Infinity', '-Infinity']);

/** PostgreSQL's text of a number that came in any notation. */
export function printFloat(text: string, bits: 32 | 64): string {
  if (SPECIAL.has(text)) return text;
  const value = Number(text);
  if (value === 0) return text.startsWith('-') ? '-0' : '0';
  const [mantissa = '', exponent = '0'] = shortest(value, bits).split('e');
  return layOut(mantissa, Number(exponent), bits === 64 ? 15 : 6);
}

/** `1.5e+20`: the fewest digits that stand for this very number. */
function shortest(value: number, bits: 32 | 64): string {
  if (bits === 64) return value.toExponential();
  const wanted = Math.fround(value);
  for (let digits = 0; digits < 9; digits++) {
    const shown = wanted.toExponential(digits);
    if (Math.fround(Number(shown)) === wanted) return shown.replace(/\.?0*e/, 'e');
  }
  return wanted.toExponential();
}

function layOut(mantissa: string, exponent: number, limit: number): string {
  const sign = mantissa.startsWith('-') ? '-' : '';
  const digits = mantissa.replace(/[-.]/g, '');
  if (exponent < -4 || exponent >= limit) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const power = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0] ?? '0'}${fraction}e${exponent < 0 ? '-' : '+'}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}
