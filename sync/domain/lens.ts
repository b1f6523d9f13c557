// Lenses compiled to functions on PostgreSQL's text values. `get` takes the monolith's value to the
// service, `put` takes it back; put(get(x)) equals x for every value that get accepts. NULL stays
// NULL. A value without an image is a LensError: the flow stops rather than guess.
import type { Lens, Reference } from '../../control/lenses.ts';
import type { Owner } from '../../control/domain/phase.ts';

export type TextMap = (value: string) => string;

export interface CompiledLens {
  readonly get: TextMap;
  readonly put: TextMap;
}

/** A value that the lens has no answer for. */
export class LensError extends Error {
  override readonly name = 'LensError';
}

/** A value that is in no row of its table of references, as that was when it was last read. */
export class UnknownReference extends LensError {}

/** What the tables of references say. */
export interface References {
  /** The other side's value for one of `side`'s. */
  find(reference: Reference, side: Owner, value: string): string | undefined;
}

export function compileLens(lens: Lens, references: References): CompiledLens {
  switch (lens.lens) {
    case 'rename':
      return { get: same, put: same };
    case 'scale': {
      const digits = Math.round(Math.log10(lens.factor));
      return {
        get: (value) => shiftDecimal(value, digits),
        put: (value) => shiftDecimal(value, -digits),
      };
    }
    case 'values': {
      const words = new Map(Object.entries(lens.values));
      const codes = new Map(Object.entries(lens.values).map(([code, word]) => [word, code]));
      return { get: lookUp(words), put: lookUp(codes) };
    }
    case 'lookup': {
      const from =
        (side: Owner): TextMap =>
        (value) => {
          const found = references.find(lens.in, side, value);
          if (found !== undefined) return found;
          throw new UnknownReference(
            `${JSON.stringify(value)} is not in ${lens.in.table}.${lens.in[side]}`,
          );
        };
      return { get: from('monolith'), put: from('service') };
    }
  }
}

function same(value: string): string {
  return value;
}

function lookUp(table: ReadonlyMap<string, string>): TextMap {
  return (value) => {
    const found = table.get(value);
    if (found === undefined)
      throw new LensError(
        `${JSON.stringify(value)} is not among ${[...table.keys()].map((key) => JSON.stringify(key)).join(', ')}`,
      );
    return found;
  };
}

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
