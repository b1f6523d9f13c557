// Writers: PostgreSQL's text of a value to the JSON that stands for it in a form. One closure per
// column, made once: this is the relay's hot path.
import { hasPlainBounds, parseArray, type Items } from './arrays.ts';
import {
  DAY_US,
  epochMicros,
  epochMillis,
  isoDate,
  parseClock,
  parseDate,
  parseMoment,
  parseZonedClock,
  printClock,
  type Moment,
} from './calendar.ts';
import { parseDecimal, printDecimal, stripped, unscaledToBase64, withScale } from './decimals.ts';
import type { Form, Unit } from './forms.ts';
import { parseHstore } from './hstore.ts';
import { intervalIso, intervalMicros, parseInterval } from './intervals.ts';
import { quote } from './json-text.ts';
import type { Decimals } from './source.ts';

/** JSON of a value that is not NULL. */
export type Writer = (text: string) => string;

/** Where a form has no place for a value, `exact` writes PostgreSQL's text and the connector its own. */
export function writerOf(form: Form, exact: boolean): Writer {
  switch (form.kind) {
    case 'integer':
      return (text) => text;
    case 'boolean':
      return (text) => (text === 't' ? 'true' : 'false');
    case 'bit':
      return (text) => (text === '1' ? 'true' : 'false');
    case 'float':
      return (text) => (/[NI]/.test(text) ? `"${text}"` : text);
    case 'text':
    case 'interval':
      return form.kind === 'text' ? quote : (text) => `"${intervalIso(parseInterval(text))}"`;
    case 'decimal':
      return decimal(form.scale, exact);
    case 'variable':
      return variable(exact);
    case 'number':
      return (text) => (/[NI]/.test(text) ? `"${text}"` : doubleOf(text));
    case 'money':
      return money(form.as);
    case 'temporal':
      return temporal(form.of, form.as, exact);
    case 'zoned':
      return form.of === 'time' ? zonedTime : zonedTimestamp(form.width);
    case 'duration':
      return (text) => String(intervalMicros(parseInterval(text)));
    case 'binary':
      return binary(form.as);
    case 'bits':
      return bits;
    case 'hstore':
      return form.as === 'map' ? hstoreMap : (text) => quote(hstoreMap(text));
    case 'array':
      return array(writerOf(form.items, exact), exact);
  }
}

/** In JSON a decimal of mode `double` is what a double makes of it. */
function doubleOf(text: string): string {
  return String(Number(text));
}

/** The connector cannot say NaN in this form and leaves the value out. */
const special = (text: string, exact: boolean): string => (exact ? `"${text}"` : 'null');

function decimal(scale: number, exact: boolean): Writer {
  return (text) => {
    const number = parseDecimal(text);
    if (!number) return special(text, exact);
    return `"${unscaledToBase64(withScale(number, scale))}"`;
  };
}

function variable(exact: boolean): Writer {
  return (text) => {
    const number = parseDecimal(text);
    if (!number) return special(text, exact);
    // The connector drops zeros at the end; whoever compares texts would miss them.
    const { value, scale } = exact ? number : stripped(number);
    return `{"scale":${scale},"value":"${unscaledToBase64(value)}"}`;
  };
}

const MONEY_SCALE = 2;

function money(as: Decimals): Writer {
  return (text) => {
    const negative = text.includes('-') || text.includes('(');
    const plain = text.replace(/[^\d.]/g, '');
    const number = parseDecimal(negative ? `-${plain}` : plain);
    if (!number) return 'null';
    const value = withScale(number, MONEY_SCALE);
    if (as === 'precise') return `"${unscaledToBase64(value)}"`;
    const shown = printDecimal(value, MONEY_SCALE);
    return as === 'double' ? doubleOf(shown) : `"${shown}"`;
  };
}

/** What pgjdbc's infinities come to in each unit. */
const INFINITE: Readonly<Record<Unit, readonly [positive: string, negative: string]>> = {
  days: ['-2147472692', '-2147472691'],
  ms: ['9223372036825200', '-9223372036832400'],
  us: ['9223372036825200000', '-9223372036832400000'],
  ns: ['9223372036854775807', '-9223372036854775808'],
  iso: ['"+294247-01-10T04:00:25.2Z"', '"-290308-12-21T19:59:27.6Z"'],
  connect: ['9223372036825200', '-9223372036832400'],
};

function temporal(of: 'date' | 'time' | 'timestamp', unit: Unit, exact: boolean): Writer {
  const infinite: Writer = (text) =>
    exact ? `"${text}"` : INFINITE[unit][text.startsWith('-') ? 1 : 0];
  if (of === 'time') return time(unit, exact);
  if (of === 'date') {
    return (text) => {
      const days = parseDate(text);
      if (days === undefined) return exact ? `"${text}"` : infiniteDate(text, unit);
      return unit === 'iso' ? `"${isoDate(days)}Z"` : String(days);
    };
  }
  return (text) => {
    const moment = parseMoment(text, false);
    return moment ? count(moment, unit) : infinite(text);
  };
}

function infiniteDate(text: string, unit: Unit): string {
  const days = INFINITE.days[text.startsWith('-') ? 1 : 0];
  return unit === 'iso' ? `"${isoDate(Number(days))}Z"` : days;
}

function time(unit: Unit, exact: boolean): Writer {
  return (text) => {
    const micros = parseClock(text);
    switch (unit) {
      case 'us':
      case 'days':
        return String(micros);
      case 'ns':
        return String(micros * 1_000);
      case 'iso':
        // The connector takes the end of a day for its beginning.
        return `"${printClock(exact ? micros : micros % DAY_US)}Z"`;
      case 'ms':
      case 'connect':
        return String(Math.floor(micros / 1_000));
    }
  };
}

function count(moment: Moment, unit: Unit): string {
  switch (unit) {
    case 'us':
    case 'days':
      return epochMicros(moment);
    case 'ns': {
      const micros = epochMicros(moment);
      return micros === '0' ? '0' : `${micros}000`;
    }
    case 'iso':
      return `"${isoDate(moment.days)}T${printClock(moment.micros)}Z"`;
    case 'ms':
    case 'connect':
      return String(epochMillis(moment));
  }
}

function zonedTimestamp(width: number): Writer {
  return (text) => {
    const moment = parseMoment(text, true);
    if (!moment) return `"${text}"`;
    return `"${isoDate(moment.days)}T${printClock(moment.micros, width)}Z"`;
  };
}

const zonedTime: Writer = (text) => `"${printClock(parseZonedClock(text))}Z"`;

function binary(as: 'bytes' | 'base64' | 'base64-url-safe' | 'hex'): Writer {
  // PostgreSQL's text is `\x` and the hexadecimal digits.
  if (as === 'hex') return (text) => `"${text.slice(2)}"`;
  const encoding = as === 'base64-url-safe' ? 'base64url' : 'base64';
  return (text) => {
    const encoded = Buffer.from(text.slice(2), 'hex').toString(encoding);
    const padding = encoding === 'base64url' ? '='.repeat((4 - (encoded.length % 4)) % 4) : '';
    return `"${encoded}${padding}"`;
  };
}

/** Little-endian, without the bytes beyond the highest bit that is set. */
const bits: Writer = (text) => {
  const first = text.indexOf('1');
  const significant = first === -1 ? 0 : text.length - first;
  const bytes = Buffer.alloc(Math.ceil(significant / 8));
  for (let bit = 0; bit < significant; bit++)
    if (text[text.length - 1 - bit] === '1')
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
  return `"${bytes.toString('base64')}"`;
};

const hstoreMap: Writer = (text) =>
  `{${parseHstore(text)
    .map(([key, value]) => `${quote(key)}:${value === null ? 'null' : quote(value)}`)
    .join(',')}}`;

function array(writeItem: Writer, exact: boolean): Writer {
  const list = (items: Items): string =>
    `[${items
      .map((item) =>
        item === null ? 'null' : typeof item === 'string' ? writeItem(item) : list(item),
      )
      .join(',')}]`;
  return (text) => {
    if (exact && !hasPlainBounds(text)) return quote(text);
    return list(parseArray(text));
  };
}
