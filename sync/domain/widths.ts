// Whether every value of one column's type can be written into another's. What cannot is no mistake by
// itself: the values that are there may all fit. So it is told beforehand, and a value that does not
// fit is refused by the target rather than cut.

const INTEGERS: Readonly<Record<string, number>> = { smallint: 2, integer: 4, bigint: 8 };
/** Decimal digits that an integer type holds in full. */
const DIGITS: Readonly<Record<string, number>> = { smallint: 4, integer: 9, bigint: 18 };
const FLOATS: Readonly<Record<string, number>> = { real: 6, 'double precision': 15 };

interface Parsed {
  readonly base: string;
  readonly args: readonly number[];
}

/** `numeric(12,2)` → numeric, [12, 2]; `timestamp(3) with time zone` → timestamp with time zone, [3]. */
export function parseType(type: string): Parsed {
  const match = /^([^()]*?)\(([\d, -]+)\)(.*)$/.exec(type);
  if (!match) return { base: type, args: [] };
  const [, head = '', args = '', tail = ''] = match;
  return { base: `${head}${tail}`.trim(), args: args.split(',').map(Number) };
}

/** The type that holds a type's numbers times a power of ten; as it is where that cannot be told. */
export function scaledType(type: string, digits: number): string {
  if (digits === 0) return type;
  const { base, args } = parseType(type);
  const own = DIGITS[base];
  const [precision, scale = 0] = own === undefined ? args : [own + 1];
  if (precision === undefined || (own === undefined && base !== 'numeric')) return type;
  const left = scale - digits;
  return left < 0
    ? `numeric(${precision - left},0)`
    : `numeric(${Math.max(precision, left)},${left})`;
}

/** What may be lost or refused on the way; undefined when nothing is, or nothing is known of the types. */
export function misfit(from: string, into: string): string | undefined {
  const [source, target] = [parseType(from), parseType(into)];
  return (
    integerMisfit(source, target) ??
    numericMisfit(source, target) ??
    floatMisfit(source, target) ??
    textMisfit(source, target) ??
    timeMisfit(source, target)
  );
}

function integerMisfit(source: Parsed, target: Parsed): string | undefined {
  const size = INTEGERS[target.base];
  if (size === undefined) return undefined;
  const own = INTEGERS[source.base];
  if (own !== undefined) return own > size ? 'larger numbers are refused' : undefined;
  if (source.base === 'numeric') {
    const [precision, scale = 0] = source.args;
    if (precision === undefined) return 'fractions, NaN and larger numbers are refused';
    if (scale > 0) return 'fractions are refused';
    return precision > (DIGITS[target.base] ?? 0) ? 'larger numbers are refused' : undefined;
  }
  return source.base in FLOATS ? 'fractions are refused' : undefined;
}

function numericMisfit(source: Parsed, target: Parsed): string | undefined {
  const [precision, scale = 0] = target.args;
  if (target.base !== 'numeric' || precision === undefined) return undefined;
  const whole = precision - scale;
  if (source.base in INTEGERS)
    return (DIGITS[source.base] ?? 0) >= whole ? 'larger numbers are refused' : undefined;
  if (source.base in FLOATS) return `it is rounded to ${scale} digits`;
  if (source.base !== 'numeric') return undefined;
  const [given, fraction = 0] = source.args;
  if (given === undefined || fraction > scale) return `it is rounded to ${scale} digits`;
  return given - fraction > whole ? 'larger numbers are refused' : undefined;
}

function floatMisfit(source: Parsed, target: Parsed): string | undefined {
  const digits = FLOATS[target.base];
  if (digits === undefined) return undefined;
  const own = FLOATS[source.base];
  const loses =
    own === undefined
      ? source.base === 'numeric' || (DIGITS[source.base] ?? 0) > digits
      : own > digits;
  return loses ? `more than ${digits} digits are lost` : undefined;
}

function textMisfit(source: Parsed, target: Parsed): string | undefined {
  if (!/^(character varying|character|bpchar)$/.test(target.base)) return undefined;
  const [length] = target.args;
  if (length === undefined) return undefined;
  const isText = /^(text|character varying|character|bpchar)$/.test(source.base);
  const [own] = source.args;
  return isText && (own === undefined || own > length)
    ? `texts longer than ${length} characters are refused`
    : undefined;
}

function timeMisfit(source: Parsed, target: Parsed): string | undefined {
  const isTime = (type: Parsed): boolean => /^(timestamp|time) with/.test(type.base);
  if (target.base === 'date' && source.base.startsWith('timestamp'))
    return 'the time of day is lost';
  if (!isTime(source) || !isTime(target)) return undefined;
  const [own = 6] = source.args;
  const [left = 6] = target.args;
  if (own > left) return `it is rounded to ${left} digits of a second`;
  return undefined;
}

/** Whether times that say their zone become times that do not, or the other way round. */
export function changesZone(from: string, into: string): boolean {
  const [source, target] = [zoneOf(from), zoneOf(into)];
  return source !== undefined && target !== undefined && source !== target;
}

function zoneOf(type: string): string | undefined {
  return /^time(?:stamp)? (with|without) time zone$/.exec(parseType(type).base)?.[1];
}
