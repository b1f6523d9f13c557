// The shape of an array's elements: which types occur at which place, whatever the values. Two lists
// of different length that nothing pairs can still be told apart by it: a price that is null in one
// of them was a number in the other.
import { ABSENT, isArray, isObject, typeOf, type Json } from './json.ts';
import { endsAt, step, type Cursor } from './paths.ts';

export interface ShapeDifference {
  /** Within the array: `*`, `*.price`. */
  readonly path: string;
  readonly control: unknown;
  readonly candidate: unknown;
}

/** More places than this in one list are not looked at. */
const MOST = 500;

/** Where the candidate's elements have a type that none of the control's has, or lack or add a member. */
export function shapeDifferences(
  control: readonly Json[],
  candidate: readonly Json[],
  ignore: Cursor,
): ShapeDifference[] {
  if (control.length === 0 || candidate.length === 0) return [];
  const known = shapesOf(control, ignore);
  const seen = shapesOf(candidate, ignore);
  const found: ShapeDifference[] = [];
  for (const [path, shape] of seen) {
    const other = known.get(path);
    if (!other) {
      if (isMember(path) && shape.count === candidate.length)
        found.push({ path, control: ABSENT, candidate: shape.example });
      continue;
    }
    for (const [type, example] of shape.types)
      if (!other.types.has(type)) found.push({ path, control: other.example, candidate: example });
  }
  for (const [path, shape] of known)
    if (isMember(path) && shape.count === control.length && !seen.has(path))
      found.push({ path, control: shape.example, candidate: ABSENT });
  return found;
}

interface Shape {
  count: number;
  readonly example: Json;
  readonly types: Map<string, Json>;
}

function shapesOf(array: readonly Json[], ignore: Cursor): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  const add = (value: Json, path: string, depth: number, cursor: Cursor): void => {
    if (endsAt(cursor) || depth > 50) return;
    const known = shapes.get(path);
    const type = typeOf(value);
    if (known) {
      known.count += 1;
      if (!known.types.has(type)) known.types.set(type, value);
    } else if (shapes.size < MOST)
      shapes.set(path, { count: 1, example: value, types: new Map([[type, value]]) });
    if (isArray(value)) {
      const inner = step(cursor, 0);
      for (const item of value) add(item, `${path}.*`, depth + 1, inner);
    } else if (isObject(value))
      for (const [key, member] of Object.entries(value))
        add(member, `${path}.${key}`, depth + 1, step(cursor, key));
  };
  const inner = step(ignore, 0);
  for (const value of array) add(value, '*', 0, inner);
  return shapes;
}

/** A member of the elements themselves, of which each element has one or none. */
function isMember(path: string): boolean {
  return path.startsWith('*.') && !path.includes('.*');
}
