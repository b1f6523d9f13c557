// Exact arithmetic on PostgreSQL's text of a number.

/** `text × 10^digits`, exactly. NaN and infinities stay; an integral result has no fraction. */
export function shiftDecimal(text: string, digits: number): string {
  return shiftPlain(text, digits) ?? shiftAny(text, digits);
}

/** The case of nearly every price: `12.50` × 100, digits only, with at least as many of them as are needed. */
function shiftPlain(text: string, digits: number): string | undefined {
  const dot = text.length - digits - 1;
  if (digits <= 0 || dot < 1 || text.charCodeAt(dot) !== 0x2e) return undefined;
  const first = text.charCodeAt(0);
  if (first < 0x31 || first > 0x39) return undefined;
  for (let index = 1; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if ((code < 0x30 || code > 0x39) && index !== dot) return undefined;
  }
  return text.slice(0, dot) + text.slice(dot + 1);
}

function shiftAny(text: string, digits: number): string {
  // Floating point comes with an exponent when it is large or small.
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(text);
  if (!match) return text;
  if (match[4] !== undefined)
    return shiftDecimal(text.slice(0, text.search(/e/i)), digits + Number(match[4]));
  const sign = match[1] ?? '';
  let whole = match[2] ?? '';
  let fraction = match[3] ?? '';
  if (digits >= 0) {
    fraction = fraction.padEnd(digits, '0');
    whole += fraction.slice(0, digits);
    fraction = fraction.slice(digits);
  } else {
    whole = whole.padStart(1 - digits, '0');
    fraction = whole.slice(digits) + fraction;
    whole = whole.slice(0, digits);
  }
  whole = whole.replace(/^0+(?=\d)/, '');
  fraction = fraction.replace(/0+$/, '');
  const unsigned = fraction === '' ? whole : `${whole}.${fraction}`;
  return /^0(\.0*)?$/.test(unsigned) ? '0' : sign + unsigned;
}
