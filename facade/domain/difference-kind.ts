// What kind of difference two values are: what noise is learnt by, and what is counted.
import { ABSENT, Exact, isArray } from './json.ts';

export interface Difference {
  /** `status`, `header content-type`, `body`, or a JSON path such as `items.*.price`. */
  readonly path: string;
  /** The same for one element: `items.3.price`, or `items.id=7.price` where elements have identities. */
  readonly at: string;
  readonly control: unknown;
  readonly candidate: unknown;
}

/**
 * What a difference is, apart from its values: its path, and where control and candidate have
 * different classes of values, the candidate's class.
 */
export function kindOf(difference: Difference): string {
  return kindAt(difference.path, difference.control, difference.candidate);
}

/** The same seen from the other side: of two answers of the control, neither is the candidate. */
export function mirrorOf(difference: Difference): string {
  return kindAt(difference.path, difference.candidate, difference.control);
}

function kindAt(path: string, from: unknown, to: unknown): string {
  // A control that sometimes says 503 does not excuse a candidate that says 404.
  if (path === 'status') return `status ${String(to)}`;
  // `empty`, `JSON of …`, `text of …`.
  if (path === 'body') return `body ${String(to).split(' ', 1)[0] ?? ''}`;
  const named = classOf(to);
  return named === classOf(from) ? path : `${path} ${named}`;
}

const CLASSES: readonly (readonly [string, RegExp])[] = [
  ['empty', /^$/],
  ['uuid', /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i],
  ['date', /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?$/],
  ['decimal', /^[+-]?\d+(\.\d+)?$/],
];

/** A type, and of texts roughly what they are. */
function classOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === ABSENT) return 'absent';
  if (value instanceof Exact) return 'number';
  if (typeof value !== 'string') return isArray(value as never) ? 'array' : typeof value;
  const head = value.slice(0, 100);
  return CLASSES.find(([, pattern]) => pattern.test(head))?.[0] ?? 'text';
}
