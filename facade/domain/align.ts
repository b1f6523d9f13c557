// Which element of one array is which of another? Equal elements find each other whatever their
// order; objects also by an identity: a member such as `id` that every element has and no two share.
// So a list in another order is told as that, and a wrong price in it as a wrong price, instead of
// every place of the list being different.
import { isArray, isObject, memberOf, type Json } from './json.ts';

export interface Pair {
  /** Index in the one and in the other array. */
  readonly a: number;
  readonly b: number;
  /** What the element is called in a place: `id=7`, or its index. */
  readonly label: string;
}

/** Pairs two permutations of the same elements; undefined when they are none. */
export function permutation(
  a: readonly Json[],
  b: readonly Json[],
  keyOf: (value: Json) => string,
): number[] | undefined {
  const open = placesOf(b, keyOf);
  const found: number[] = [];
  for (const value of a) {
    const at = open.get(keyOf(value))?.pop();
    if (at === undefined) return undefined;
    found.push(at);
  }
  return found;
}

/** Pairs what two arrays of objects have in common by identity; undefined when they have none. */
export function byIdentity(a: readonly Json[], b: readonly Json[]): Pair[] | undefined {
  const first = a[0];
  if (first === undefined || !isObject(first)) return undefined;
  let best: Pair[] | undefined;
  for (const key of Object.keys(first).sort(idFirst)) {
    const found = commonBy(key, a, b);
    if (found && found.length > (best?.length ?? 0)) best = found;
    if (best?.length === a.length) break;
  }
  const least = Math.min(a.length, b.length);
  return best && best.length * 2 >= least ? best : undefined;
}

/** What is left when equal elements are taken out, paired by identity, by size, or as it comes. */
export function unorderedPairs(
  a: readonly Json[],
  b: readonly Json[],
  keyOf: (value: Json) => string,
): Pair[] {
  const open = placesOf(b, keyOf);
  const left = [...a.keys()].filter((at) => open.get(keyOf(a[at] ?? null))?.pop() === undefined);
  const right = [...open.values()].flat().sort((x, y) => x - y);
  const [x, y] = [left.map((at) => a[at] ?? null), right.map((at) => b[at] ?? null)];
  const known = byIdentity(x, y);
  if (known && (known.length === x.length || a.length !== b.length))
    return known.map((pair) => ({ ...pair, a: left[pair.a] ?? 0, b: right[pair.b] ?? 0 }));
  // Numbers that differ a little find each other by size.
  if ([...x, ...y].every((value) => typeof value === 'number')) {
    left.sort((m, n) => Number(a[m]) - Number(a[n]));
    right.sort((m, n) => Number(b[m]) - Number(b[n]));
  }
  return a.length === b.length
    ? left.map((at, nth) => ({ a: at, b: right[nth] ?? 0, label: String(at) }))
    : [];
}

function idFirst(a: string, b: string): number {
  if (a === b) return 0;
  if (a === 'id' || b === 'id') return a === 'id' ? -1 : 1;
  return a < b ? -1 : 1;
}

function commonBy(key: string, a: readonly Json[], b: readonly Json[]): Pair[] | undefined {
  const left = indexBy(key, a);
  const right = left && indexBy(key, b);
  if (!left || !right) return undefined;
  const pairs: Pair[] = [];
  for (const [identity, at] of left) {
    const other = right.get(identity);
    if (other !== undefined) pairs.push({ a: at, b: other, label: `${key}=${identity}` });
  }
  return pairs;
}

/** Index of each element by the member; undefined when it is missing, no scalar, or not unique. */
function indexBy(key: string, array: readonly Json[]): Map<string, number> | undefined {
  const index = new Map<string, number>();
  for (const [at, element] of array.entries()) {
    const value = isObject(element) ? memberOf(element, key) : undefined;
    if (value === undefined || value === null || typeof value === 'boolean') return undefined;
    if (isArray(value) || isObject(value)) return undefined;
    const identity = typeof value === 'string' ? value : JSON.stringify(value);
    if (index.has(identity)) return undefined;
    index.set(identity, at);
  }
  return index;
}

/** The indexes of each value, the first last, so that `pop` takes them in order. */
function placesOf(array: readonly Json[], keyOf: (value: Json) => string): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (let at = array.length - 1; at >= 0; at--) {
    const key = keyOf(array[at] ?? null);
    const same = places.get(key);
    if (same) same.push(at);
    else places.set(key, [at]);
  }
  return places;
}
