// Mistakes that a rewritten service makes, each made once in a given answer, at a place drawn from
// the seed: what changed, and the path that a report must name.
import { pick, whole, type Answered } from './answers.ts';

type Random = () => number;
type Container = unknown[] | Record<string, unknown>;

export interface Regression {
  readonly name: string;
  readonly answer: Answered;
  /** As a report names it. */
  readonly path: string;
}

interface Place {
  readonly holder: Container;
  readonly key: string;
  readonly path: string[];
  readonly value: unknown;
}

/** A kind of mistake: which places it can happen at, and what it does there; the path of the report. */
interface Mistake {
  readonly name: string;
  readonly fits: (place: Place) => boolean;
  readonly make: (place: Place, random: Random) => string[];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const inObject = ({ holder }: Place): boolean => !Array.isArray(holder);
const isMoney = ({ value }: Place): boolean =>
  typeof value === 'string' && /^\d+\.\d\d$/.test(value);

function set({ holder, key, path }: Place, value: unknown): string[] {
  (holder as Record<string, unknown>)[key] = value;
  return path;
}

function changed(
  name: string,
  fits: (value: unknown) => boolean,
  to: (value: never, random: Random) => unknown,
): Mistake {
  return {
    name,
    fits: ({ value }) => fits(value),
    make: (place, random) => set(place, to(place.value as never, random)),
  };
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isNumber = (value: unknown): boolean => typeof value === 'number';
const isDate = (value: unknown): boolean => typeof value === 'string' && /^\d{4}-.*Z$/.test(value);
const isAccented = (value: unknown): boolean =>
  typeof value === 'string' && value.normalize('NFD') !== value;
const isFraction = (value: unknown): boolean => typeof value === 'number' && value % 1 !== 0;
const isList = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;

const MISTAKES: readonly Mistake[] = [
  changed('a number off by one', isNumber, (value: number) => value + 1),
  changed('a number as text', isNumber, (value: number) => String(value)),
  changed(
    'a sign lost',
    (value) => isNumber(value) && value !== 0,
    (value: number) => -value,
  ),
  changed('precision lost', isFraction, (value: number) => value + 1e-9),
  changed('rounded', isFraction, (value: number) => Math.round(value)),
  changed(
    'null instead of zero',
    (value) => value === 0,
    () => null,
  ),
  changed(
    'text cut',
    (value) => isText(value) && !isDate(value),
    (value: string) => value.slice(0, -1) || '-',
  ),
  changed(
    'case changed',
    (value) => typeof value === 'string' && value.toUpperCase() !== value,
    (value: string) => value.toUpperCase(),
  ),
  changed('a space at the end', isText, (value: string) => `${value} `),
  changed(
    'an empty text for null',
    (value) => value === null,
    () => '',
  ),
  changed('null for a text', isText, () => null),
  changed('another normalisation of Unicode', isAccented, (value: string) =>
    value.normalize('NFD'),
  ),
  changed('a wrong encoding', isAccented, (value: string) => Buffer.from(value).toString('latin1')),
  changed(
    'a flag as text',
    (value) => typeof value === 'boolean',
    (value: boolean) => String(value),
  ),
  changed(
    'a flag as number',
    (value) => typeof value === 'boolean',
    (value: boolean) => Number(value),
  ),
  changed(
    'a flag the other way',
    (value) => typeof value === 'boolean',
    (value: boolean) => !value,
  ),
  changed('a date an hour off', isDate, (value: string) =>
    new Date(Date.parse(value) + 3_600_000).toISOString(),
  ),
  changed('a date without milliseconds', isDate, (value: string) => value.replace(/\.\d+Z/, 'Z')),
  changed('a date as a number', isDate, (value: string) => Date.parse(value)),
  changed('null for an object', isObject, () => null),
  changed('a list for an object', isObject, (value: object) => [value]),
  changed('null for a list', isList, () => null),
  {
    name: 'a cent less',
    fits: isMoney,
    make: (place) => set(place, (Number(place.value) - 0.01).toFixed(2)),
  },
  {
    name: 'money as a number',
    fits: isMoney,
    make: (place) => set(place, Number(place.value)),
  },
  {
    name: 'a member missing',
    fits: inObject,
    make: ({ holder, key, path }) => {
      Reflect.deleteProperty(holder, key);
      return path;
    },
  },
  {
    name: 'null where a member was absent',
    fits: ({ value }) => isObject(value),
    make: ({ value, path }) => {
      (value as Record<string, unknown>)['deletedAt'] = null;
      return [...path, 'deletedAt'];
    },
  },
  {
    name: 'an element missing',
    fits: ({ value }) => isList(value),
    make: ({ value, path }, random) => {
      const list = value as unknown[];
      list.splice(whole(random, list.length), 1);
      return [...path, 'length'];
    },
  },
  {
    name: 'an element twice',
    fits: ({ value }) => isList(value),
    make: ({ value, path }, random) => {
      const list = value as unknown[];
      list.push(structuredClone(pick(random, list)));
      return [...path, 'length'];
    },
  },
  {
    name: 'another order',
    fits: ({ value }) =>
      isList(value) &&
      value.length > 1 &&
      JSON.stringify(value[0]) !== JSON.stringify(value[value.length - 1]),
    make: ({ value, path }) => {
      const list = value as unknown[];
      [list[0], list[list.length - 1]] = [list[list.length - 1], list[0]];
      return [...path, 'order'];
    },
  },
];

export const MISTAKE_NAMES: readonly string[] = MISTAKES.map((one) => one.name);

/** Makes the nth kind of mistake in a copy of the answer; undefined when it has no place for it. */
export function regress(answer: Answered, nth: number, random: Random): Regression | undefined {
  const mistake = MISTAKES[nth % MISTAKES.length] as Mistake;
  const copy = structuredClone(answer);
  const places = placesOf(copy, []).filter((place) => mistake.fits(place));
  if (places.length === 0) return undefined;
  const path = mistake.make(pick(random, places), random);
  return { name: mistake.name, answer: copy, path: path.join('.') };
}

function placesOf(holder: Container, path: readonly string[]): Place[] {
  return Object.entries(holder).flatMap(([key, value]): Place[] => {
    const at = [...path, Array.isArray(holder) ? '*' : key];
    const below =
      typeof value === 'object' && value !== null ? placesOf(value as Container, at) : [];
    return [{ holder, key, path: at, value }, ...below];
  });
}
