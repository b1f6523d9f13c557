// Two JSON values by structure. Objects member by member, arrays place by place; an array whose
// places differ is looked at again by its elements (align.ts), so that another order is told as
// `items.order`, another length as `items.length`, and what the arrays have in common is compared
// all the same. Where nothing tells the elements apart, a changed length leaves their shapes.
import { kindOf, type Difference } from './difference-kind.ts';
import { byIdentity, permutation, unorderedPairs, type Pair } from './align.ts';
import {
  ABSENT,
  canonical,
  isArray,
  isObject,
  memberOf,
  sameNumber,
  within,
  type Json,
  type Pruner,
} from './json.ts';
import { endsAt, step, valueAt, type Cursor, type Pattern } from './paths.ts';
import { shapeDifferences } from './shapes.ts';

export interface JsonRules {
  /** Places that may differ. */
  readonly ignore: Pattern;
  /** Arrays whose order does not matter. */
  readonly unordered: Pattern;
  /** How far apart numbers may be. */
  readonly tolerance: Pattern;
}

// More places of one kind, or more in one answer, tell nothing new; one that is full of noise must not
// hide the others.
const MOST_PER_KIND = 20;
const MOST = 1_000;
/** What is nested deeper is compared no further: JSON of people is not, and the stack is finite. */
const DEEPEST = 200;

interface Cursors {
  readonly ignore: Cursor;
  readonly unordered: Cursor;
  readonly tolerance: Cursor;
}

/** Every difference between two values, within limits that keep a hopeless pair cheap. */
export function compareJson(control: Json, candidate: Json, rules: JsonRules): Difference[] {
  const walk = new Walk();
  walk.visit(control, candidate, {
    ignore: [rules.ignore],
    unordered: [rules.unordered],
    tolerance: [rules.tolerance],
  });
  return walk.found;
}

class Walk {
  readonly found: Difference[] = [];
  readonly #perKind = new Map<string, number>();
  /** Segments of the place, and of the path that it is grouped under. */
  readonly #at: (string | number)[] = [];
  readonly #path: string[] = [];

  visit(a: Json, b: Json, cursors: Cursors): void {
    if (this.found.length >= MOST || endsAt(cursors.ignore)) return;
    if (this.#at.length > DEEPEST) this.#differ(a, b);
    else if (isArray(a) && isArray(b)) this.#arrays(a, b, cursors);
    else if (isObject(a) && isObject(b)) this.#objects(a, b, cursors);
    else if (a !== b && !sameNumber(a, b)) {
      const tolerance = valueAt(cursors.tolerance);
      if (tolerance === undefined || !within(a, b, tolerance)) this.#differ(a, b);
    }
  }

  #objects(a: ObjectJson, b: ObjectJson, cursors: Cursors): void {
    for (const key of Object.keys(a)) {
      const x = a[key];
      const y = memberOf(b, key);
      if (x === y || x === undefined) continue;
      const inner = into(cursors, key);
      this.#enter(key, folded(key));
      if (y !== undefined) this.visit(x, y, inner);
      else if (!endsAt(inner.ignore)) this.#differ(x, ABSENT);
      this.#leave();
    }
    for (const key of Object.keys(b)) {
      if (Object.hasOwn(a, key)) continue;
      this.#enter(key, folded(key));
      if (!endsAt(step(cursors.ignore, key))) this.#differ(ABSENT, b[key]);
      this.#leave();
    }
  }

  #arrays(a: ArrayJson, b: ArrayJson, cursors: Cursors): void {
    const keyOf = (value: Json): string => canonical(value, prunerOf(into(cursors, 0)));
    if (endsAt(cursors.unordered)) {
      this.#length(a, b, cursors);
      this.#pairs(a, b, unorderedPairs(a, b, keyOf), cursors);
    } else if (a.length === b.length) this.#sameLength(a, b, cursors, keyOf);
    else {
      this.#length(a, b, cursors);
      const pairs = byIdentity(a, b);
      if (pairs) this.#pairs(a, b, pairs, cursors);
      this.#shapes(a, b, cursors);
    }
  }

  #sameLength(a: ArrayJson, b: ArrayJson, cursors: Cursors, keyOf: (value: Json) => string): void {
    const mark = this.found.length;
    for (let index = 0; index < a.length; index++) {
      const [x, y] = [a[index], b[index]];
      if (x === y || x === undefined || y === undefined) continue;
      this.#enter(index, '*');
      this.visit(x, y, into(cursors, index));
      this.#leave();
    }
    if (this.found.length === mark || this.found.length >= MOST) return;
    const order = permutation(a, b, keyOf);
    const pairs = order ? [] : byIdentity(a, b);
    if (!order && pairs?.length !== a.length) return;
    this.#forgetFrom(mark);
    if (order ?? pairs?.some((pair) => pair.a !== pair.b)) this.#order(a, b, cursors);
    if (pairs) this.#pairs(a, b, pairs, cursors);
  }

  #pairs(a: ArrayJson, b: ArrayJson, pairs: readonly Pair[], cursors: Cursors): void {
    for (const pair of pairs) {
      const [x, y] = [a[pair.a], b[pair.b]];
      if (x === undefined || y === undefined) continue;
      this.#enter(pair.label, '*');
      this.visit(x, y, into(cursors, pair.a));
      this.#leave();
    }
  }

  #length(a: ArrayJson, b: ArrayJson, cursors: Cursors): void {
    if (a.length === b.length || endsAt(step(cursors.ignore, 'length'))) return;
    this.#enter('length', 'length');
    this.#differ(a.length, b.length);
    this.#leave();
  }

  #order(a: ArrayJson, b: ArrayJson, cursors: Cursors): void {
    if (endsAt(step(cursors.ignore, 'order'))) return;
    const from = Math.max(
      0,
      a.findIndex((x, index) => JSON.stringify(x) !== JSON.stringify(b[index])),
    );
    this.#enter('order', 'order');
    this.#differ(a.slice(from, from + 3), b.slice(from, from + 3));
    this.#leave();
  }

  /** Elements that have no partner must at least look like those of the control. */
  #shapes(a: ArrayJson, b: ArrayJson, cursors: Cursors): void {
    for (const { path, control, candidate } of shapeDifferences(a, b, cursors.ignore)) {
      this.#enter(path, path);
      this.#differ(control, candidate);
      this.#leave();
    }
  }

  #enter(key: string | number, fold: string): void {
    this.#at.push(key);
    this.#path.push(fold);
  }

  #leave(): void {
    this.#at.pop();
    this.#path.pop();
  }

  #differ(control: unknown, candidate: unknown): void {
    const path = this.#path.join('.') || '$';
    const difference = { path, at: this.#at.join('.') || '$', control, candidate };
    const kind = kindOf(difference);
    const count = this.#perKind.get(kind) ?? 0;
    if (count >= MOST_PER_KIND || this.found.length >= MOST) return;
    this.#perKind.set(kind, count + 1);
    this.found.push(difference);
  }

  #forgetFrom(mark: number): void {
    for (const kind of this.found.splice(mark).map(kindOf))
      this.#perKind.set(kind, (this.#perKind.get(kind) ?? 1) - 1);
  }
}

/** Keys that are made, not named: an object by id is grouped like an array. */
const MADE = /^(\d+|[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}|[\da-f]{16,})$/i;

function folded(key: string): string {
  return MADE.test(key) ? '*' : key;
}

type ArrayJson = readonly Json[];
type ObjectJson = { readonly [key: string]: Json };

function into(cursors: Cursors, key: string | number): Cursors {
  const { ignore, unordered, tolerance } = cursors;
  if (ignore.length + unordered.length + tolerance.length === 0) return cursors;
  return {
    ignore: step(ignore, key),
    unordered: step(unordered, key),
    tolerance: step(tolerance, key),
  };
}

/** For the canonical form of an element: what to leave out and what to sort. */
function prunerOf(cursors: Cursors): Pruner {
  return {
    skip: endsAt(cursors.ignore),
    sort: endsAt(cursors.unordered),
    into: (key) => prunerOf(into(cursors, key)),
  };
}
