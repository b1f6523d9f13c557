// Dates and times between PostgreSQL's text (ISO, UTC) and counts since the epoch. Years are
// astronomical inside: 0 is 1 BC. What is beyond a double's integers is counted as bigint.

/** A day since 1970-01-01 and the microseconds since its midnight. */
export interface Moment {
  readonly days: number;
  readonly micros: number;
}

export const DAY_US = 86_400_000_000;
/** Farther days from the epoch have more microseconds than a double counts. */
const COUNTABLE_DAYS = 104_000;

const DATE = /^(\d{4,})-(\d\d)-(\d\d)/;
const CLOCK = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?/;

/** Days since the epoch in the proleptic Gregorian calendar. */
export function toDays(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

export interface Civil {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

export function fromDays(days: number): Civil {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const mp = Math.floor((5 * dayOfYear + 2) / 153);
  const month = mp < 10 ? mp + 3 : mp - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * mp + 2) / 5) + 1 };
}

/** `2020-01-31`, `0044-03-15 BC`; undefined for an infinity. */
export function parseDate(text: string): number | undefined {
  const match = DATE.exec(text);
  if (!match) return undefined;
  const year = Number(match[1]);
  return toDays(text.endsWith('BC') ? 1 - year : year, Number(match[2]), Number(match[3]));
}

/** Microseconds of `13:51:30.123`; 24:00:00 is one. */
export function parseClock(text: string): number {
  const match = CLOCK.exec(text);
  if (!match) throw new RangeError(`not a time of day: ${text}`);
  const seconds = Number(match[1]) * 3_600 + Number(match[2]) * 60 + Number(match[3]);
  const fraction = match[4];
  return seconds * 1_000_000 + (fraction ? Number(fraction.padEnd(6, '0')) : 0);
}

const ZONE = /([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?(?: BC)?$/;

/** Seconds east of Greenwich that a text ends with. */
export function parseZone(text: string): number {
  const match = ZONE.exec(text);
  if (!match) throw new RangeError(`no zone in ${text}`);
  const seconds = Number(match[2]) * 3_600 + Number(match[3] ?? '0') * 60 + Number(match[4] ?? '0');
  return match[1] === '-' ? -seconds : seconds;
}

/** `2020-01-31 13:51:30.123`, with or without a zone; undefined for an infinity. */
export function parseMoment(text: string, zoned: boolean): Moment | undefined {
  const days = parseDate(text);
  if (days === undefined) return undefined;
  const micros = parseClock(text.substring(text.indexOf(' ') + 1));
  if (!zoned || text.endsWith('+00')) return { days, micros };
  return shifted({ days, micros }, -parseZone(text));
}

/** Microseconds of a `timetz` in UTC. */
export function parseZonedClock(text: string): number {
  const micros = parseClock(text) - parseZone(text) * 1_000_000;
  return ((micros % DAY_US) + DAY_US) % DAY_US;
}

export function shifted({ days, micros }: Moment, seconds: number): Moment {
  const total = micros + seconds * 1_000_000;
  const over = Math.floor(total / DAY_US);
  return { days: days + over, micros: total - over * DAY_US };
}

/** Microseconds since the epoch, in digits. */
export function epochMicros({ days, micros }: Moment): string {
  if (days > -COUNTABLE_DAYS && days < COUNTABLE_DAYS) return String(days * DAY_US + micros);
  return (BigInt(days) * BigInt(DAY_US) + BigInt(micros)).toString();
}

export function epochMillis({ days, micros }: Moment): number {
  return days * 86_400_000 + Math.floor(micros / 1_000);
}

export function fromMicros(digits: string): Moment {
  const count = Number(digits);
  if (Number.isSafeInteger(count)) {
    // What is left over is exact, a quotient would not be.
    const over = count % DAY_US;
    const micros = over < 0 ? over + DAY_US : over;
    return { days: (count - micros) / DAY_US, micros };
  }
  const value = BigInt(digits);
  const micros = ((value % BigInt(DAY_US)) + BigInt(DAY_US)) % BigInt(DAY_US);
  return { days: Number((value - micros) / BigInt(DAY_US)), micros: Number(micros) };
}

const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

/** `13:51:30.123`; `width` digits of the fraction, or as few as needed when 0. */
export function printClock(micros: number, width = 0): string {
  const seconds = Math.floor(micros / 1_000_000);
  const clock = `${two(Math.floor(seconds / 3_600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  const fraction = micros - seconds * 1_000_000;
  if (width > 0) return `${clock}.${String(fraction).padStart(6, '0').slice(0, width)}`;
  if (fraction === 0) return clock;
  return `${clock}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
}

/** PostgreSQL's date without its ` BC`, and whether it has one. */
function printCivil(days: number): { text: string; era: string } {
  const { year, month, day } = fromDays(days);
  const shown = String(year > 0 ? year : 1 - year).padStart(4, '0');
  return { text: `${shown}-${two(month)}-${two(day)}`, era: year > 0 ? '' : ' BC' };
}

export function printDate(days: number): string {
  const { text, era } = printCivil(days);
  return text + era;
}

export function printMoment({ days, micros }: Moment, zone = ''): string {
  const { text, era } = printCivil(days);
  return `${text} ${printClock(micros)}${zone}${era}`;
}

/** ISO 8601 as Java prints it: a sign before years of more than four digits and before negative ones. */
export function isoDate(days: number): string {
  const { year, month, day } = fromDays(days);
  const shown = String(Math.abs(year)).padStart(4, '0');
  return `${year < 0 ? '-' : year > 9_999 ? '+' : ''}${shown}-${two(month)}-${two(day)}`;
}

const ISO_DATE = /^([+-]?)(\d{4,})-(\d\d)-(\d\d)/;

/** Days of an ISO date; undefined when it is none. */
export function parseIsoDate(text: string): number | undefined {
  const match = ISO_DATE.exec(text);
  if (!match) return undefined;
  const year = Number(match[2]);
  return toDays(match[1] === '-' ? -year : year, Number(match[3]), Number(match[4]));
}

/** Seconds east of Greenwich at the end of an ISO text; `Z` is 0. */
export function parseIsoZone(text: string): number {
  return text.endsWith('Z') ? 0 : parseZone(text);
}
