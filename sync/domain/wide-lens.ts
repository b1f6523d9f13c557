// Lenses over several columns compiled to functions on PostgreSQL's text values. Both directions hold
// the law themselves: what would not come back the same is a LensError, so no value is ever guessed.
import type { WideLens, WideMap } from '../../control/lenses.ts';
import { membersOf } from './json-object.ts';
import { LensError } from './lens.ts';

export interface CompiledWideLens {
  readonly get: WideMap;
  /** Undefined where the mapping has no way back. */
  readonly put: WideMap | undefined;
}

/** What the live columns say: of those that are joined, and of the one that they are joined into. */
export interface WideColumns {
  readonly partTypes: readonly string[];
  readonly wholeNotNull: boolean;
}

type Text = string | null;

export function compileWide(lens: WideLens, columns: WideColumns): CompiledWideLens {
  switch (lens.lens) {
    case 'join':
      return facing(lens.parts, joined(lens.separator, lens.nulls === 'omit', columns));
    case 'json':
      return facing(lens.parts, object(lens.keys, lens.nulls === 'omit', columns));
    case 'custom': {
      const { get, put } = lens;
      const there = called(get, 'get', lens.service.length);
      const back = put && called(put, 'put', lens.monolith.length);
      if (!back) return { get: there, put: undefined };
      return { get: lawful(there, back, sameTexts), put: lawful(back, there, sameTexts) };
    }
  }
}

/** How parts become a whole, and a whole its parts. */
interface Fusion {
  fuse(parts: readonly Text[]): Text;
  part(whole: Text): readonly Text[];
  /** Whether two wholes say the same. */
  same(a: Text, b: Text): boolean;
}

function facing(parts: 'monolith' | 'service', fusion: Fusion): CompiledWideLens {
  const fuse: WideMap = (values) => [fusion.fuse(values)];
  const part: WideMap = ([whole = null]) => fusion.part(whole);
  const sameWhole = ([a = null]: readonly Text[], [b = null]: readonly Text[]): boolean =>
    fusion.same(a, b);
  const joins = lawful(fuse, part, sameTexts);
  const splits = lawful(part, fuse, sameWhole);
  return parts === 'monolith' ? { get: joins, put: splits } : { get: splits, put: joins };
}

/** `there`, for as long as `back` undoes it. */
function lawful(
  there: WideMap,
  back: WideMap,
  same: (a: readonly Text[], b: readonly Text[]) => boolean,
): WideMap {
  return (values) => {
    const image = there(values);
    const returned = back(image);
    if (same(returned, values)) return image;
    throw new LensError(
      `${shown(values)} becomes ${shown(image)}, which becomes ${shown(returned)}`,
    );
  };
}

function called(map: WideMap, name: string, count: number): WideMap {
  return (values) => {
    let image;
    try {
      image = map(values);
    } catch (error) {
      throw new LensError(
        `${name} of a custom lens threw for ${shown(values)}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    if (image.length === count) return image;
    throw new LensError(
      `${name} of a custom lens gave ${image.length} values for ${count} columns from ${shown(values)}`,
    );
  };
}

function joined(separator: string, omits: boolean, { partTypes }: WideColumns): Fusion {
  const count = partTypes.length;
  return {
    fuse: (parts) => {
      if (parts.every((one) => one === null)) return null;
      return parts
        .map((one) => {
          if (one === null && !omits)
            throw new LensError(
              `NULL beside other values in ${shown(parts)} has no place in a joined text; nulls: 'omit' makes it the empty text`,
            );
          return one ?? '';
        })
        .join(separator);
    },
    part: (whole) => {
      if (whole === null) return new Array<Text>(count).fill(null);
      const parts: Text[] = [];
      let from = 0;
      while (parts.length < count - 1) {
        const at = whole.indexOf(separator, from);
        if (at < 0)
          throw new LensError(
            `${JSON.stringify(whole)} has fewer than ${count} parts between ${JSON.stringify(separator)}`,
          );
        parts.push(whole.slice(from, at));
        from = at + separator.length;
      }
      parts.push(whole.slice(from));
      return omits ? parts.map((one) => (one === '' ? null : one)) : parts;
    },
    same: (a, b) => a === b,
  };
}

const NUMBERS = new Set(['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision']);
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function object(
  keys: readonly string[],
  omits: boolean,
  { partTypes, wholeNotNull }: WideColumns,
): Fusion {
  const typeAt = (index: number): string => partTypes[index] ?? 'text';
  return {
    fuse: (parts) => {
      if (!wholeNotNull && parts.every((one) => one === null)) return null;
      const members = keys.flatMap((key, index) => {
        const value = parts[index] ?? null;
        if (value === null && omits) return [];
        return [`${JSON.stringify(key)}: ${toJson(value, typeAt(index))}`];
      });
      return `{${members.join(', ')}}`;
    },
    part: (whole) => {
      if (whole === null) return keys.map(() => null);
      const members = membersOf(whole);
      if (!members) throw new LensError(`${whole} is not a JSON object with each key once`);
      for (const key of members.keys())
        if (!keys.includes(key))
          throw new LensError(
            `${whole} has key ${JSON.stringify(key)}, which the mapping does not name`,
          );
      return keys.map((key, index) => {
        const member = members.get(key);
        if (member === undefined && !omits)
          throw new LensError(
            `${whole} lacks key ${JSON.stringify(key)}; nulls: 'omit' makes it NULL`,
          );
        return member === undefined ? null : fromJson(member, typeAt(index), whole);
      });
    },
    same: (a, b) => a === b || (a !== null && b !== null && sameObject(a, b)),
  };
}

function toJson(value: Text, type: string): string {
  if (value === null) return 'null';
  if (type === 'json' || type === 'jsonb') return value;
  if (type === 'boolean') return value === 't' || value === 'true' ? 'true' : 'false';
  // What has no JSON number (NaN, Infinity) is a string, and comes back from one.
  return NUMBERS.has(type) && JSON_NUMBER.test(value) ? value : JSON.stringify(value);
}

function fromJson(member: string, type: string, whole: string): Text {
  if (member === 'null') return null;
  if (type === 'json' || type === 'jsonb') return member;
  const isString = member.startsWith('"');
  if (type === 'boolean') {
    if (member === 'true') return 't';
    if (member === 'false') return 'f';
  } else if (NUMBERS.has(type)) {
    if (JSON_NUMBER.test(member)) return member;
    if (isString && /^"(NaN|-?Infinity)"$/.test(member)) return JSON.parse(member) as string;
  } else if (isString) return JSON.parse(member) as string;
  throw new LensError(`${member} in ${whole} is not what a column of type ${type} holds`);
}

function sameObject(a: string, b: string): boolean {
  const [left, right] = [membersOf(a), membersOf(b)];
  if (left?.size !== right?.size) return false;
  return [...(left ?? [])].every(([key, value]) => {
    const other = right?.get(key);
    return (
      other === value ||
      (other !== undefined &&
        value.startsWith('"') &&
        other.startsWith('"') &&
        JSON.parse(value) === JSON.parse(other))
    );
  });
}

function sameTexts(a: readonly Text[], b: readonly Text[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}

function shown(values: readonly Text[]): string {
  return `(${values.map((one) => (one === null ? 'NULL' : JSON.stringify(one))).join(', ')})`;
}
