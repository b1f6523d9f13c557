// Readers: the JSON of a value in a form to PostgreSQL's text, as PostgreSQL itself would print it.
// Throws FLOW_STOPPED on what the form does not allow: a connector in another mode than was thought.
import { BanyanError } from '../../../core/errors.ts';
import { printArray, type Items } from './arrays.ts';
import {
  fromMicros,
  parseClock,
  parseIsoDate,
  parseIsoZone,
  printClock,
  printDate,
  printMoment,
  shifted,
  type Moment,
} from './calendar.ts';
import { base64ToUnscaled, printDecimal } from './decimals.ts';
import { printFloat } from './floats.ts';
import { digits, type Clock, type Form, type Unit } from './forms.ts';
import { printHstore } from './hstore.ts';
import { intervalFromIso } from './intervals.ts';
import { Digits, isList, isObject, readJson, type Json } from './json-text.ts';
import type { SourceType } from './source.ts';

/** PostgreSQL's text of a JSON that is not null. */
export type Reader = (json: Json) => string;

export function readerOf(form: Form, type: SourceType): Reader {
  switch (form.kind) {
    case 'integer':
      return digitsOf;
    case 'boolean':
      return (json) => (truth(json) ? 't' : 'f');
    case 'bit':
      return (json) => (truth(json) ? '1' : '0');
    case 'float':
      return (json) => printFloat(digitsOf(json), form.bits);
    case 'text':
      return textOf;
    case 'decimal':
      return (json) => decimal(json, form.scale);
    case 'variable':
      return variable;
    case 'number':
      return digitsOf;
    case 'money':
      return (json) => (form.as === 'precise' ? decimal(json, 2) : digitsOf(json));
    case 'temporal':
      return temporal(form.of, form.as);
    case 'zoned':
      return form.of === 'time' ? zonedTime : zonedTimestamp;
    case 'duration':
      return (json) => `${digitsOf(json)} microseconds`;
    case 'interval':
      return (json) => intervalFromIso(textOf(json)) ?? textOf(json);
    case 'binary':
      return binary(form.as);
    case 'bits':
      return (json) => bits(textOf(json), form.length);
    case 'hstore':
      return hstore;
    case 'array':
      return array(readerOf(form.items, type.element ?? type));
  }
}

/** The digits of a number; a string stands for what JSON has no number for. */
function digitsOf(json: Json): string {
  if (json instanceof Digits) return json.text;
  if (typeof json === 'string') return json;
  throw unexpected('a number', json);
}

function textOf(json: Json): string {
  if (typeof json === 'string') return json;
  if (json instanceof Digits) return json.text;
  throw unexpected('a string', json);
}

function truth(json: Json): boolean {
  if (typeof json === 'boolean') return json;
  throw unexpected('true or false', json);
}

const WORD = /^(?:NaN|-?Infinity)$/;

/** One that brings its own scale was written when the column had none yet, or has none any more. */
function decimal(json: Json, scale: number): string {
  if (isObject(json)) return scaled(variable(json), scale);
  return typeof json === 'string' && WORD.test(json) ? json : printDecimal(unscaled(json), scale);
}

/** With as many digits behind the point as the server writes, where they say the same. */
function scaled(text: string, scale: number): string {
  const point = text.indexOf('.');
  if (!/^-?[\d.]+$/.test(text) || scale <= 0) return text;
  return point < 0 ? `${text}.${'0'.repeat(scale)}` : text.padEnd(point + 1 + scale, '0');
}

/** Throws where it is none: a connector whose mode is `double` says numbers, one whose mode is `string` their text. */
function unscaled(json: Json | undefined): bigint {
  if (typeof json !== 'string' || !isBase64(json))
    throw unexpected('a decimal as decimal.handling.mode=precise has it', json ?? null);
  return base64ToUnscaled(json);
}

function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

const variable: Reader = (json) => {
  if (typeof json === 'string' && WORD.test(json)) return json;
  const scale = isObject(json) ? json.get('scale') : undefined;
  if (!isObject(json) || !(scale instanceof Digits))
    throw unexpected('a scale and a value, as decimal.handling.mode=precise has them', json);
  return printDecimal(unscaled(json.get('value')), Number(scale.text));
};

/** What the connector says for infinity, in each of its units; of a date in a snapshot something else. */
const POSITIVE = new Set([
  '-2147472692',
  '9223372036825200',
  '9223372036825200000',
  '9223372036854775807',
  '+294247-01-10T04:00:25.2Z',
  '-5877611-06-21Z',
  '-622191234',
  '+292278994-08-16Z',
]);
const NEGATIVE = new Set([
  '-2147472691',
  '-9223372036832400',
  '-9223372036832400000',
  '-9223372036854775808',
  '-290308-12-21T19:59:27.6Z',
  '-5877611-06-22Z',
  '-625821272',
  '+292269055-12-02Z',
]);

function temporal(of: Clock, unit: Unit): Reader {
  if (of === 'time')
    return (json) =>
      json instanceof Digits ? printClock(clockMicros(json.text, unit)) : isoClock(textOf(json));
  return (json) => {
    if (!(json instanceof Digits)) return isoMoment(textOf(json), of);
    if (POSITIVE.has(json.text)) return 'infinity';
    if (NEGATIVE.has(json.text)) return '-infinity';
    return of === 'date' ? printDate(Number(json.text)) : printMoment(momentOf(json.text, unit));
  };
}

function clockMicros(text: string, unit: Unit): number {
  const value = Number(text);
  if (unit === 'ms' || unit === 'connect') return value * 1_000;
  return unit === 'ns' ? Math.floor(value / 1_000) : value;
}

function momentOf(text: string, unit: Unit): Moment {
  if (unit === 'ms' || unit === 'connect') return fromMicros(text === '0' ? '0' : `${text}000`);
  if (unit === 'ns') return fromMicros((BigInt(text) / 1_000n).toString());
  return fromMicros(text);
}

const isoClock = (text: string): string => printClock(parseClock(text));

/** ISO 8601, or PostgreSQL's own text, which an infinity is. */
function isoMoment(text: string, of: Clock, zone = ''): string {
  if (text.endsWith('infinity')) return text;
  if (POSITIVE.has(text)) return 'infinity';
  if (NEGATIVE.has(text)) return '-infinity';
  const days = parseIsoDate(text);
  if (days === undefined) throw unexpected('a date', text);
  if (of === 'date') return printDate(days);
  const at = text.indexOf('T');
  if (at === -1) throw unexpected('a timestamp', text);
  const local = { days, micros: parseClock(text.substring(at + 1)) };
  const east = parseIsoZone(text);
  return printMoment(east === 0 ? local : shifted(local, -east), zone);
}

/** A moment of our era in UTC, as nearly all are: PostgreSQL has the same digits. */
const PLAIN_MOMENT = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/;
const SECONDS_END = 19;

const zonedTimestamp: Reader = (json) => {
  const text = textOf(json);
  if (!PLAIN_MOMENT.test(text)) return isoMoment(text, 'timestamp', '+00');
  let end = text.length - 1;
  if (end > SECONDS_END) {
    while (text.charCodeAt(end - 1) === 0x30) end -= 1;
    if (end === SECONDS_END + 1) end = SECONDS_END;
  }
  return `${text.substring(0, 10)} ${text.substring(11, end)}+00`;
};
const zonedTime: Reader = (json) => `${isoClock(textOf(json))}+00`;

function binary(as: 'bytes' | 'base64' | 'base64-url-safe' | 'hex'): Reader {
  if (as === 'hex') return (json) => `\\x${textOf(json).toLowerCase()}`;
  const encoding = as === 'base64-url-safe' ? 'base64url' : 'base64';
  return (json) => `\\x${Buffer.from(textOf(json), encoding).toString('hex')}`;
}

function bits(text: string, length: number): string {
  const bytes = Buffer.from(text, 'base64');
  let shown = '';
  for (let bit = length - 1; bit >= 0; bit--)
    shown += ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1 ? '1' : '0';
  return shown;
}

const hstore: Reader = (json) => {
  const map = typeof json === 'string' ? readJson(json) : json;
  if (!isObject(map)) throw unexpected('an hstore', json);
  return printHstore(
    Array.from(map, ([key, value]): [string, string | null] => [
      key,
      value === null ? null : textOf(value),
    ]),
  );
};

function array(readItem: Reader): Reader {
  const list = (json: readonly Json[]): Items =>
    json.map((item) => (item === null ? null : isList(item) ? list(item) : readItem(item)));
  return (json) => {
    // A literal with its own bounds.
    if (typeof json === 'string') return json;
    if (!isList(json)) throw unexpected('a list', json);
    return printArray(list(json));
  };
}

/** True where the form keeps fewer digits of a second than the column has. */
export function dropsDigits(unit: Unit, type: SourceType): boolean {
  const fine = type.name !== 'date' && digits(type.typmod) > 3;
  return fine && (unit === 'ms' || unit === 'connect');
}

function unexpected(what: string, json: Json): BanyanError {
  const shown =
    json instanceof Digits ? json.text : typeof json === 'object' ? 'something else' : String(json);
  return new BanyanError(
    'FLOW_STOPPED',
    `a record has ${shown.slice(0, 40)} where ${what} belongs`,
    {
      hint: "The connector's modes are not what the definition says: name them there as they are in the connector.",
    },
  );
}
