// A value as a report shows it: the beginning of it, for reading. Nothing that an upstream has sent,
// however large or deep, makes this expensive.
import { isArray, isObject, type Json } from './json.ts';

const TEXT_LENGTH = 200;
const MEMBERS = 5;
const DEPTH = 3;

/** The same value when it is small, else one of its kind cut short. */
export function exampleOf(value: unknown, depth = DEPTH): unknown {
  if (typeof value === 'string')
    return value.length > TEXT_LENGTH ? `${value.slice(0, TEXT_LENGTH)}…` : value;
  const json = value as Json;
  if (isArray(json)) {
    if (depth === 0) return `… ${json.length} elements`;
    const kept = json.slice(0, MEMBERS).map((one) => exampleOf(one, depth - 1));
    return json.length > MEMBERS ? [...kept, `… ${json.length - MEMBERS} more`] : kept;
  }
  if (isObject(json)) {
    const keys = Object.keys(json);
    if (depth === 0) return `… ${keys.length} members`;
    const kept = keys
      .slice(0, MEMBERS)
      .map((key): [string, unknown] => [
        key.slice(0, TEXT_LENGTH),
        exampleOf(json[key], depth - 1),
      ]);
    return Object.fromEntries(
      keys.length > MEMBERS ? [...kept, ['…', keys.length - MEMBERS]] : kept,
    );
  }
  return value;
}
