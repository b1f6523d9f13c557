// Are two answers the same? Status, media type, the headers that the definition names, then the
// body: JSON by structure, anything else byte by byte. A difference has two paths: `at` with array
// indexes, to tell whether it is still there when both sides are asked again, and `path` with `*`
// for every index, to group it in a report.
//
// Law: equal values never differ, and a changed leaf is found at its path unless that is ignored.
import { canonical, isArray, isObject, parseJson, sameNumber, type Json } from './json.ts';

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface Difference {
  /** `status`, `header content-type`, `body`, or a JSON path such as `items.*.price`. */
  readonly path: string;
  /** The same with array indexes: `items.3.price`. */
  readonly at: string;
  readonly control: unknown;
  readonly candidate: unknown;
}

/** What the definition says; compiled by `compileRules`. */
export interface CompareRules {
  readonly headers: readonly string[];
  readonly ignore: Pattern;
  readonly unordered: Pattern;
}

/** A set of JSON paths as a tree of their segments; `*` stands for any key or index. */
export interface Pattern {
  readonly next: ReadonlyMap<string, Pattern>;
  readonly ends: boolean;
}

/** What an absent member is shown as. */
export const ABSENT = '(absent)';

/** More differences than this in one pair of answers tell nothing new. */
const MOST = 50;

export function compileRules(given: {
  readonly headers: readonly string[];
  readonly ignore: readonly string[];
  readonly unordered: readonly string[];
}): CompareRules {
  return {
    headers: given.headers.map((name) => name.toLowerCase()),
    ignore: compilePattern(given.ignore),
    unordered: compilePattern(given.unordered),
  };
}

/** Every difference between two answers, at most 50. */
export function compareAnswers(
  control: Answer,
  candidate: Answer,
  rules: CompareRules,
): Difference[] {
  // Another status is another kind of answer: its body would only repeat that.
  if (control.status !== candidate.status)
    return [plain('status', control.status, candidate.status)];
  const found: Difference[] = [];
  const types = [mediaType(control), mediaType(candidate)] as const;
  if (types[0] !== types[1]) found.push(plain('header content-type', types[0], types[1]));
  for (const name of rules.headers) {
    const values = [control.headers[name] ?? ABSENT, candidate.headers[name] ?? ABSENT] as const;
    if (values[0] !== values[1]) found.push(plain(`header ${name}`, values[0], values[1]));
  }
  if (sameBytes(control.body, candidate.body)) return found;
  const bodies = [jsonOf(control), jsonOf(candidate)] as const;
  if (bodies[0] && bodies[1])
    compareJson(bodies[0].value, bodies[1].value, rules, (difference) => {
      found.push(difference);
      return found.length < MOST;
    });
  else found.push(plain('body', describe(control.body), describe(candidate.body)));
  return found.slice(0, MOST);
}

/** Compares two JSON values; `report` returns false to stop. */
export function compareJson(
  control: Json,
  candidate: Json,
  rules: Pick<CompareRules, 'ignore' | 'unordered'>,
  report: (difference: Difference) => boolean,
): void {
  let going = true;
  const differ = (at: string[], a: unknown, b: unknown): void => {
    if (!going) return;
    const found = { at: at.join('.') || '$', path: '', control: a, candidate: b };
    going = report({ ...found, path: folded.join('.') || '$' });
  };
  const folded: string[] = [];
  const at: string[] = [];
  const into = (key: string, fold: string, visit: () => void): void => {
    at.push(key);
    folded.push(fold);
    visit();
    at.pop();
    folded.pop();
  };
  const visit = (a: Json, b: Json, ignore: Cursor, unordered: Cursor): void => {
    if (!going || isEnd(ignore)) return;
    if (isArray(a) && isArray(b)) {
      const inner = [step(ignore, '0'), step(unordered, '0')] as const;
      const [left, right] = isEnd(unordered)
        ? withoutCommon(a, b, (value) => canonical(value, pruner(inner[0], inner[1])))
        : [[...a.entries()], [...b.entries()]];
      if (a.length !== b.length)
        into('length', 'length', () => {
          if (!isEnd(step(ignore, 'length'))) differ(at, a.length, b.length);
        });
      // After an insertion every later index would differ: the length says it all.
      else
        left.forEach(([index, value], nth) => {
          const other = right[nth];
          if (other)
            into(String(index), '*', () => {
              visit(value, other[1], step(ignore, String(index)), step(unordered, String(index)));
            });
        });
    } else if (isObject(a) && isObject(b)) {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
        into(key, key, () => {
          const next = step(ignore, key);
          const [x, y] = [a[key], b[key]];
          if (x !== undefined && y !== undefined) visit(x, y, next, step(unordered, key));
          else if (!isEnd(next)) differ(at, x ?? orAbsent(x), y ?? orAbsent(y));
        });
    } else if (a !== b && !sameNumber(a, b)) differ(at, a, b);
  };
  visit(control, candidate, [rules.ignore], [rules.unordered]);
}

/** Pattern nodes that the path walked so far has reached. */
type Cursor = readonly Pattern[];

function step(cursor: Cursor, key: string): Cursor {
  if (cursor.length === 0) return cursor;
  const next: Pattern[] = [];
  for (const node of cursor)
    for (const found of [node.next.get(key), node.next.get('*')]) if (found) next.push(found);
  return next;
}

function isEnd(cursor: Cursor): boolean {
  return cursor.some((node) => node.ends);
}

function compilePattern(paths: readonly string[]): Pattern {
  const root = { next: new Map<string, Pattern>(), ends: false };
  for (const path of paths) {
    let node = root;
    for (const part of path.split('.')) {
      let next = node.next.get(part) as typeof root | undefined;
      if (!next) {
        next = { next: new Map(), ends: false };
        node.next.set(part, next);
      }
      node = next;
    }
    node.ends = true;
  }
  return root;
}

/** For the canonical form of an unordered element: what to leave out and what to sort. */
function pruner(ignore: Cursor, unordered: Cursor): Parameters<typeof canonical>[1] {
  return {
    skip: isEnd(ignore),
    sort: isEnd(unordered),
    into: (key) => pruner(step(ignore, key), step(unordered, key)),
  };
}

type Indexed = [number, Json][];

/** Takes equal elements out of both arrays, whatever their order; what is left is paired as it comes. */
function withoutCommon(
  a: readonly Json[],
  b: readonly Json[],
  keyOf: (value: Json) => string,
): [Indexed, Indexed] {
  const open = new Map<string, Indexed>();
  b.forEach((value, index) => {
    const key = keyOf(value);
    const same = open.get(key);
    if (same) same.push([index, value]);
    else open.set(key, [[index, value]]);
  });
  const left: Indexed = [];
  a.forEach((value, index) => {
    if (!open.get(keyOf(value))?.shift()) left.push([index, value]);
  });
  const right = [...open.values()].flat().sort(([x], [y]) => x - y);
  return [left, right];
}

function jsonOf(answer: Answer): { readonly value: Json } | undefined {
  const type = mediaType(answer);
  if (type !== 'application/json' && !type.endsWith('+json')) return undefined;
  return parseJson(new TextDecoder().decode(answer.body));
}

function mediaType(answer: Answer): string {
  return (answer.headers['content-type'] ?? ABSENT).split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function plain(path: string, control: unknown, candidate: unknown): Difference {
  return { path, at: path, control, candidate };
}

function orAbsent(value: Json | undefined): Json {
  return value === undefined ? ABSENT : value;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

function describe(body: Uint8Array): string {
  return `${body.length} bytes: ${new TextDecoder().decode(body.subarray(0, 100))}`;
}
