// How one table of the monolith becomes one of the service, as a zod schema: keys, lenses, what stays,
// what each side keeps for itself, which rows belong.
import { z } from 'zod';
import type { Lens, WideLens, WideMap } from './lenses.ts';
import { text } from './schema-words.ts';

const scaled = z.strictObject({
  lens: z.literal('scale'),
  to: text,
  factor: z
    .number('must be a number: a power of ten, such as 100 or 0.01')
    .refine(
      (factor) => Number.isInteger(Number(Math.log10(factor).toFixed(9))),
      'must be a power of ten, such as 100 or 0.01',
    ),
});
const coded = z.strictObject({
  lens: z.literal('values'),
  to: text,
  values: z
    .record(z.string(), z.string())
    .refine((table) => Object.keys(table).length > 0, 'name at least one value')
    .refine(
      (table) => new Set(Object.values(table)).size === Object.keys(table).length,
      'two values map to the same word, which cannot be inverted for sync back',
    ),
});
const lookedUp = z.strictObject({
  lens: z.literal('lookup'),
  to: text,
  in: z.strictObject({
    side: z.enum(['monolith', 'service']),
    table: text,
    monolith: text,
    service: text,
  }),
});
/** Told apart by their names, so that the mistakes of the one that was meant are reported. */
const namedLens = z.discriminatedUnion('lens', [
  z.strictObject({ lens: z.literal('rename'), to: text }),
  scaled,
  coded,
  lookedUp,
]);
const lens = z.union([text.transform((to): Lens => ({ lens: 'rename', to })), namedLens]);

const columns = z.array(text).min(1);
const parts = z.enum(['monolith', 'service']);
const nulls = z.enum(['keep', 'omit']);
const wideMap = z.custom<WideMap>((given) => typeof given === 'function', 'must be a function');

const wideLens: z.ZodType<WideLens, WideLens> = z.discriminatedUnion('lens', [
  z
    .strictObject({
      lens: z.literal('join'),
      parts,
      monolith: columns,
      service: columns,
      separator: text,
      nulls,
    })
    .refine(oneIsWhole, 'joins two columns or more into one'),
  z
    .strictObject({
      lens: z.literal('json'),
      parts,
      monolith: columns,
      service: columns,
      keys: z
        .array(z.string())
        .refine((keys) => new Set(keys).size === keys.length, 'two columns have the same key'),
      nulls,
    })
    .refine((given) => given[given.parts].length === given.keys.length, 'a key for each column'),
  z.strictObject({
    lens: z.literal('custom'),
    monolith: columns,
    service: columns,
    get: wideMap,
    put: wideMap.optional(),
  }),
]);

function oneIsWhole(given: {
  parts: 'monolith' | 'service';
  monolith: string[];
  service: string[];
}): boolean {
  const whole = given.parts === 'monolith' ? given.service : given.monolith;
  return whole.length === 1 && given[given.parts].length > 1;
}

const literal = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const tables = z.union([text.transform((table) => [table]), z.array(text).min(1)]);

type Stay = Lens & { readonly default: Literal };
type StayInput =
  | string
  | { readonly lens?: 'rename' | undefined; readonly to: string; readonly default: Literal }
  | (Lens & { readonly default?: Literal | undefined });

const stay: z.ZodType<Stay, StayInput> = z.union([
  text.transform((to) => ({ lens: 'rename' as const, to, default: null as Literal })),
  z.strictObject({
    lens: z.literal('rename').default('rename'),
    /** Column of the service that shows the value; the service cannot write it. */
    to: text,
    /** Value, as the monolith has it, in a row that the service inserts. */
    default: literal,
  }),
  // `{ ...scale('deposit_cents', 100), default: 0 }`
  scaled.extend({ default: literal.default(null) }),
  coded.extend({ default: literal.default(null) }),
  // A row that the service inserts has none: what stands for it may change.
  lookedUp.extend({ default: z.null().default(null) }),
]);

const firing = z.enum(['fire', 'skip']);

export const tableMap = z.strictObject({
  /**
   * `table` or `schema.table` of the monolith, or several that merge into one row of the service over a
   * shared key; the first drives: the service's row exists exactly when its row does.
   */
  monolith: tables,
  /** Table of the service, or several that split the monolith's row over a shared key; the first drives. */
  service: tables,
  /**
   * Key columns, monolith → service. In a split the same in each table, or an object by table; in a merge
   * `table.column` names a later table's: `{ id: 'id', 'notes.item_id': 'id' }`.
   */
  key: z
    .record(text, z.union([text, z.record(text, text)]))
    .refine((key) => Object.keys(key).length > 0, 'name the key columns'),
  /** Columns that move with the capability, monolith → lens. `table.column` names a later table of a split or merge. */
  columns: z.record(text, lens).default({}),
  /** Columns that move and that only together say what the other side's columns say: concat, split, pack, unpack, custom. */
  lenses: z.array(wideLens).default([]),
  /** Columns that stay with the monolith and are shown, read-only, by the service. */
  stays: z.record(text, stay).default({}),
  /** Columns that each side keeps for itself: not synced, not compared, not fenced. */
  shared: z
    .strictObject({ monolith: z.array(text).default([]), service: z.array(text).default([]) })
    .default({ monolith: [], service: [] }),
  /**
   * Values for columns that exist on one side only, in rows that come from the other; and for columns that
   * come from a later table of a split or merge, where that has no row. NULL where nothing is said.
   */
  defaults: z
    .strictObject({
      monolith: z.record(text, literal).default({}),
      service: z.record(text, literal).default({}),
    })
    .default({ monolith: {}, service: {} }),
  /**
   * Only rows of the monolith in which each named column has this value, or one of these, belong to the
   * capability: `{ kind: ['book', 'cd'], deleted_at: null }`. The others stay the monolith's own.
   */
  where: z.record(text, z.union([literal, z.array(literal).min(1)])).default({}),
  /**
   * Whether the tables' own triggers fire for what sync writes; they do where nothing is said. `skip` has
   * sync write as a replica does: foreign keys of the tables are not checked by that, either. One word for
   * both sides, or one each: `{ monolith: 'fire', service: 'skip' }`.
   */
  triggers: z
    .union([
      firing.transform((both) => ({ monolith: both, service: both })),
      z.strictObject({ monolith: firing.optional(), service: firing.optional() }),
    ])
    .default({}),
  /**
   * What a TRUNCATE at the owner does to the other side: `apply` empties it, too; `stop` stops the flow,
   * and nothing is emptied there.
   */
  truncate: z.enum(['apply', 'stop']).default('apply'),
});

type Literal = z.infer<typeof literal>;

export type TableMap = z.output<typeof tableMap>;
