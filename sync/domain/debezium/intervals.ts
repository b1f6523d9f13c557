// Intervals: PostgreSQL's text to its parts, and the two forms that Debezium gives them.

export interface Interval {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
  readonly minutes: number;
  /** Microseconds of the seconds and their fraction. */
  readonly micros: number;
}

const UNIT = /(-?\+?\d+) (year|mon|day)/g;
const CLOCK = /(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/;
/** Debezium's `DAYS_PER_MONTH_AVG`. */
const DAYS_PER_MONTH = 365.25 / 12;

export function parseInterval(text: string): Interval {
  const parts = { year: 0, mon: 0, day: 0 };
  for (const [, count, unit] of text.matchAll(UNIT))
    parts[unit as keyof typeof parts] = Number(count);
  const clock = CLOCK.exec(text);
  const sign = clock?.[1] === '-' ? -1 : 1;
  const part = (index: number): number => sign * Number(clock?.[index] ?? '0') || 0;
  return {
    years: parts.year,
    months: parts.mon,
    days: parts.day,
    hours: part(2),
    minutes: part(3),
    micros: part(4) * 1_000_000 + sign * Number((clock?.[5] ?? '0').padEnd(6, '0')) || 0,
  };
}

/** `interval.handling.mode=numeric`: a month counts 30.4375 days. */
export function intervalMicros(interval: Interval): number {
  const { years, months, days, hours, minutes, micros } = interval;
  const totalDays = (years * 12 + months) * DAYS_PER_MONTH + days;
  const seconds = ((totalDays * 24 + hours) * 60 + minutes) * 60 + micros / 1e6;
  return Math.round(seconds * 1e6);
}

/** `interval.handling.mode=string`. */
export function intervalIso(interval: Interval): string {
  const { years, months, days, hours, minutes, micros } = interval;
  const whole = Math.trunc(micros / 1_000_000);
  const fraction = Math.abs(micros % 1_000_000);
  const sign = micros < 0 && whole === 0 ? '-' : '';
  const shown = fraction === 0 ? '' : `.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
  return `P${years}Y${months}M${days}DT${hours}H${minutes}M${sign}${whole}${shown}S`;
}

const ISO = /^P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?)(\d+)(?:\.(\d{1,6}))?S$/;

/** PostgreSQL's text of Debezium's string form; undefined when it is none. */
export function intervalFromIso(text: string): string | undefined {
  const match = ISO.exec(text);
  if (!match) return undefined;
  const number = (index: number): number => Number(match[index]);
  const sign = match[6] === '-' ? -1 : 1;
  return printInterval({
    years: number(1),
    months: number(2),
    days: number(3),
    hours: number(4),
    minutes: number(5),
    micros: sign * (number(7) * 1_000_000 + Number((match[8] ?? '0').padEnd(6, '0'))),
  });
}

/** As PostgreSQL prints it with `intervalstyle = postgres`. */
function printInterval({ years, months, days, hours, minutes, micros }: Interval): string {
  let text = '';
  let before = false;
  const units: readonly (readonly [number, string])[] = [
    [years, 'year'],
    [months, 'mon'],
    [days, 'day'],
  ];
  for (const [count, unit] of units) {
    if (count === 0) continue;
    const sign = before && count > 0 ? '+' : '';
    text += `${text === '' ? '' : ' '}${sign}${count} ${unit}${count === 1 ? '' : 's'}`;
    before = count < 0;
  }
  if (text !== '' && hours === 0 && minutes === 0 && micros === 0) return text;
  const minus = hours < 0 || minutes < 0 || micros < 0;
  const seconds = Math.floor(Math.abs(micros) / 1_000_000);
  const fraction = Math.abs(micros) % 1_000_000;
  const two = (value: number): string => String(Math.abs(value)).padStart(2, '0');
  const shown = fraction === 0 ? '' : `.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
  const clock = `${minus ? '-' : before ? '+' : ''}${two(hours)}:${two(minutes)}:${two(seconds)}${shown}`;
  return text === '' ? clock : `${text} ${clock}`;
}
