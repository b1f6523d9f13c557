// The words a mapping is written in. A lens takes columns of the monolith to columns of the service;
// its inverse is derived, or given beside it. These are plain data: sync compiles them.
//
// The law: what the monolith holds comes back the same. A value for which that does not hold (a
// part that contains the separator, a code without a word) is no value of the lens: its change is
// parked rather than guessed at. Values are PostgreSQL's own text; null is SQL NULL.

/** One column of the monolith, one of the service. NULL stays NULL. */
export type Lens =
  | { readonly lens: 'rename'; readonly to: string }
  | { readonly lens: 'scale'; readonly to: string; readonly factor: number }
  | {
      readonly lens: 'values';
      readonly to: string;
      readonly values: Readonly<Record<string, string>>;
    }
  | { readonly lens: 'lookup'; readonly to: string; readonly in: Reference };

/** A table that says which value stands for which. */
export interface Reference {
  /** Where the table is. */
  readonly side: 'monolith' | 'service';
  readonly table: string;
  /** Its column with the monolith's values, and the one with the service's. Both are unique. */
  readonly monolith: string;
  readonly service: string;
}

/** The same value under another name. A bare string in a mapping means the same. */
export function rename(to: string): Lens {
  return { lens: 'rename', to };
}

/**
 * `service = monolith × factor`, exact decimal arithmetic: `scale('price_cents', 100)` takes
 * `12.50` to `1250` and back. `factor` is a power of ten (0.001, 100, …).
 */
export function scale(to: string, factor: number): Lens {
  return { lens: 'scale', to, factor };
}

/**
 * Codes to words: `values('state', { A: 'active', D: 'discontinued' })`. A value that the table
 * does not name is parked; two codes with the same word cannot be inverted and are refused.
 */
export function values(to: string, table: Readonly<Record<string, string>>): Lens {
  return { lens: 'values', to, values: table };
}

/**
 * A value that stands for another by a table of references:
 * `ctry_id: lookup('country', { table: 'ctry', monolith: 'ctry_id', service: 'iso_code' })` takes the
 * monolith's country id to its ISO code and back. The table is the monolith's unless `side` says
 * otherwise; it is read when a flow starts, and again when a value is not found in it, so rows may be
 * added at any time. A row of it that comes to mean something else stops the flow.
 */
export function lookup(
  to: string,
  reference: Omit<Reference, 'side'> & { readonly side?: Reference['side'] },
): Lens {
  return { lens: 'lookup', to, in: { side: 'monolith', ...reference } };
}

/** How NULL is told from other parts. */
export type Nulls =
  /** As a value of its own: JSON's null. Where the joined form has none, NULL among other values is refused. */
  | 'keep'
  /** As the empty text, or as a key that is left out; an empty text, or JSON's null, is refused then. */
  | 'omit';

/** Columns of one table of the monolith, and columns of one table of the service, that belong together. */
export type WideLens =
  | {
      readonly lens: 'join';
      readonly parts: 'monolith' | 'service';
      readonly monolith: readonly string[];
      readonly service: readonly string[];
      readonly separator: string;
      readonly nulls: Nulls;
    }
  | {
      readonly lens: 'json';
      readonly parts: 'monolith' | 'service';
      readonly monolith: readonly string[];
      readonly service: readonly string[];
      /** One for each part. */
      readonly keys: readonly string[];
      readonly nulls: Nulls;
    }
  | {
      readonly lens: 'custom';
      readonly monolith: readonly string[];
      readonly service: readonly string[];
      readonly get: WideMap;
      readonly put?: WideMap | undefined;
    };

/** Values in the order of the columns. Throws for what it has no answer for. */
export type WideMap = (values: readonly (string | null)[]) => readonly (string | null)[];

interface NullsOption {
  readonly nulls?: Nulls;
}

/**
 * Columns of the monolith joined into one of the service: `concat(['fst_nm', 'lst_nm'], 'name', ' ')`.
 * Split at the first separators on the way back, so only the last part may contain one. All parts NULL
 * is NULL.
 */
export function concat(
  from: readonly string[],
  to: string,
  separator: string,
  { nulls = 'keep' }: NullsOption = {},
): WideLens {
  return { lens: 'join', parts: 'monolith', monolith: from, service: [to], separator, nulls };
}

/** The other way round: `split('addr', ['street', 'city'], ', ')`. */
export function split(
  from: string,
  to: readonly string[],
  separator: string,
  { nulls = 'keep' }: NullsOption = {},
): WideLens {
  return { lens: 'join', parts: 'service', monolith: [from], service: to, separator, nulls };
}

/**
 * Columns of the monolith packed into one JSON object of the service, by key:
 * `pack({ wdth: 'width', hght: 'height' }, 'size')`. Numbers, booleans and JSON stay what they are,
 * whatever else is a JSON string; an object with other keys cannot be taken back.
 */
export function pack(
  from: Readonly<Record<string, string>>,
  to: string,
  { nulls = 'keep' }: NullsOption = {},
): WideLens {
  return {
    ...{ lens: 'json', parts: 'monolith', monolith: Object.keys(from), service: [to] },
    ...{ keys: Object.values(from), nulls },
  };
}

/** The other way round: `unpack('attrs', { colour: 'color' })` takes key `colour` to column `color`. */
export function unpack(
  from: string,
  to: Readonly<Record<string, string>>,
  { nulls = 'keep' }: NullsOption = {},
): WideLens {
  return {
    ...{ lens: 'json', parts: 'service', monolith: [from], service: Object.values(to) },
    ...{ keys: Object.keys(to), nulls },
  };
}

/**
 * A pair of functions of your own, between columns of one table each: lists of PostgreSQL's text or
 * null, in the order of the columns. Each undoes the other: that is checked with every value, both ways. Without `put` the capability can go as far as `shadow`, no further:
 * from `canary` on changes travel back.
 */
export function custom(lens: {
  readonly monolith: readonly string[];
  readonly service: readonly string[];
  readonly get: WideMap;
  readonly put?: WideMap;
}): WideLens {
  return { lens: 'custom', ...lens };
}
