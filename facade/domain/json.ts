// JSON as the comparison sees it. Numbers are compared by value, also those that a double cannot
// hold: a 64-bit id that differs in its last digit must not look equal, so such numbers are kept
// as exact decimals instead of being rounded.

export type Json =
  null | boolean | number | string | Exact | readonly Json[] | { readonly [key: string]: Json };

/** A number that a double does not hold exactly, as sign, digits and exponent. */
export class Exact {
  readonly decimal: string;

  constructor(decimal: string) {
    this.decimal = decimal;
  }

  toJSON(): string {
    return this.decimal;
  }
}

/** What an absent member is shown as. */
export const ABSENT = '(absent)';

/** Digits that every double reproduces. */
const SAFE_DIGITS = 15;
/** Digits enough, or an exponent large enough, for a number that a double may not hold. */
const LONG =
  /(?<![^\s[:,-])(?:\d[\d.]{15,}(?:[eE][+-]?\d+)?|\d[\d.]*[eE][+-]?\d{3,})(?![^\s\],}])/g;
/** Below the least normal double digits get lost. */
const LEAST = 1e-300;

type Reviver = (
  this: unknown,
  key: string,
  value: unknown,
  context?: { source?: string },
) => unknown;

/**
 * Whether two texts must be parsed exactly to be told apart: when two different numbers of them
 * become the same double. Exact parsing is slow, and long fractions are common.
 */
export function needExact(a: string, b: string): boolean {
  const decimals = new Map<number, string>();
  for (const text of [a, b])
    for (const token of text.match(LONG) ?? []) {
      const value = Number(token);
      if (Number.isNaN(value)) continue;
      if (value > Number.MAX_VALUE || value < LEAST) return true;
      const decimal = decimalOf(token);
      const known = decimals.get(value);
      // A short number elsewhere may be the same double, too.
      const isShort = Number(value.toPrecision(SAFE_DIGITS)) === value;
      if (known === undefined ? isShort && digitsOf(decimal) > SAFE_DIGITS : known !== decimal)
        return true;
      decimals.set(value, decimal);
    }
  return false;
}

/** More brackets open than people nest; a text of nothing else takes its parser a tenth of a second. */
const DEEPEST = 500;

/** Whether a text nests deeper than anything meant; brackets within strings are counted along. */
export function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5b || code === 0x7b) depth += 1;
    else if (code === 0x5d || code === 0x7d) depth -= 1;
    if (depth > DEEPEST) return true;
  }
  return false;
}

/** Parses a text; undefined when it is no JSON. Wrapped, because null is a value. */
export function parseJson(text: string, exact = true): { readonly value: Json } | undefined {
  try {
    const value = exact
      ? (JSON.parse(text, exactly as Parameters<typeof JSON.parse>[1]) as Json)
      : (JSON.parse(text) as Json);
    return { value };
  } catch {
    return undefined;
  }
}

const exactly: Reviver = function (_key, value, context) {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined) return value;
  if (source.length <= SAFE_DIGITS && !/e/i.test(source)) return value;
  const decimal = decimalOf(source);
  const isHeld =
    digitsOf(decimal) <= SAFE_DIGITS &&
    Number.isFinite(value) &&
    (Math.abs(value) >= LEAST || decimal === '0e0');
  return isHeld ? value : new Exact(decimal);
};

function digitsOf(decimal: string): number {
  return decimal.indexOf('e') - (decimal.startsWith('-') ? 1 : 0);
}

/** `-12.50e3` as `-125e2`: no leading or trailing zeros, so equal numbers have equal texts. */
function decimalOf(source: string): string {
  // An id, mostly.
  if (/^[1-9]\d*[1-9]$/.test(source)) return `${source}e0`;
  const [mantissa = '', exponent = '0'] = source.toLowerCase().split('e');
  const sign = mantissa.startsWith('-') ? '-' : '';
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const trimmed = digits.replace(/0+$/, '');
  if (trimmed === '') return '0e0';
  const shift = Number(exponent) - fraction.length + (digits.length - trimmed.length);
  return `${sign}${trimmed}e${shift}`;
}

/** Whether both are numbers of the same value. */
export function sameNumber(a: Json, b: Json): boolean {
  return a instanceof Exact && b instanceof Exact && a.decimal === b.decimal;
}

const DECIMAL = /^[+-]?\d+(\.\d+)?$/;

/**
 * Whether two numbers, or two decimal texts (`"12.50"`, as money is often sent), are at most
 * `most` apart. The decimals are read as doubles, so their last bit is given the benefit.
 */
export function within(a: Json, b: Json, most: number): boolean {
  const isText = typeof a === 'string' && typeof b === 'string';
  const x = isText ? decimalText(a) : numberOf(a);
  const y = isText ? decimalText(b) : numberOf(b);
  if (x === undefined || y === undefined) return false;
  const slack = 4 * Number.EPSILON * Math.max(Math.abs(x), Math.abs(y));
  return Math.abs(x - y) <= most + slack;
}

function decimalText(value: string): number | undefined {
  return DECIMAL.test(value) ? Number(value) : undefined;
}

function numberOf(value: Json): number | undefined {
  if (value instanceof Exact) return Number(value.decimal);
  return typeof value === 'number' ? value : undefined;
}

export function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

export function isObject(value: Json): value is { readonly [key: string]: Json } {
  return (
    typeof value === 'object' && value !== null && !isArray(value) && !(value instanceof Exact)
  );
}

/** A member of an object, never one that it inherits. */
export function memberOf(value: { readonly [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

/** `null`, `boolean`, `number`, `string`, `array` or `object`. */
export function typeOf(value: Json): string {
  if (value === null) return 'null';
  if (value instanceof Exact) return 'number';
  return isArray(value) ? 'array' : typeof value;
}

/** Where the canonical form leaves out, sorts, and goes on. */
export interface Pruner {
  readonly skip: boolean;
  readonly sort: boolean;
  into(key: string | number): Pruner;
}

/** A text that is equal for equal values: keys sorted, pruned as told. */
export function canonical(value: Json, pruner: Pruner): string {
  if (pruner.skip) return '';
  if (isArray(value)) {
    const items = value.map((item, index) => canonical(item, pruner.into(index)));
    return `[${(pruner.sort ? items.sort() : items).join()}]`;
  }
  if (isObject(value)) {
    const members = Object.keys(value)
      .sort()
      .flatMap((key) => {
        const inner = pruner.into(key);
        const member = value[key];
        return inner.skip || member === undefined
          ? []
          : [`${JSON.stringify(key)}:${canonical(member, inner)}`];
      });
    return `{${members.join()}}`;
  }
  if (typeof value === 'number') return String(value);
  return value instanceof Exact ? value.decimal : JSON.stringify(value);
}
