// What a team writes: its databases, its capabilities, their routes and tables. Parsed by zod, so
// that every mistake is reported at once, with its path; an unknown key is a mistake.
import { z } from 'zod';
import { BanyanError } from '../core/errors.ts';
import type { Lens } from './lenses.ts';

/** The value of an environment variable, read when the command starts, so that no secret stands in the file. */
export function env(name: string, fallback?: string): { env: string; default?: string } {
  return fallback === undefined ? { env: name } : { env: name, default: fallback };
}

const name = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,30}$/, 'use lower-case letters, digits, - and _ (at most 31)');
const text = z.string().min(1);
const reference = z.union([text, z.strictObject({ env: text, default: text.optional() })]);

const database = z.strictObject({
  /** Role with REPLICATION and SELECT on the mapped tables. */
  capture: reference,
  /** Role with INSERT, UPDATE, DELETE on the mapped tables; its writes pass the fence. */
  applier: reference,
  /** Role that may alter the mapped tables: fences and publishes them. */
  coordinator: reference,
});

const side = z.strictObject({
  /** Base URL that requests are forwarded to. */
  upstream: reference,
  database: database.optional(),
});

const lens = z.union([
  text.transform((to): Lens => ({ lens: 'rename', to })),
  z.strictObject({ lens: z.literal('rename'), to: text }),
  z.strictObject({
    lens: z.literal('scale'),
    to: text,
    factor: z
      .number()
      .positive()
      .refine(
        (factor) => Number.isInteger(Number(Math.log10(factor).toFixed(9))),
        'must be a power of ten',
      ),
  }),
  z.strictObject({
    lens: z.literal('values'),
    to: text,
    values: z
      .record(z.string(), z.string())
      .refine((table) => Object.keys(table).length > 0, 'name at least one value')
      .refine(
        (table) => new Set(Object.values(table)).size === Object.keys(table).length,
        'two values map to the same word, which cannot be inverted for sync back',
      ),
  }),
]);

const literal = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const stay = z.union([
  text.transform((to) => ({ to, default: null as z.infer<typeof literal> })),
  z.strictObject({
    /** Column of the service that shows the value; the service cannot write it. */
    to: text,
    /** Value in a row that the service inserts. */
    default: literal,
  }),
]);

const tableMap = z.strictObject({
  /** `table` or `schema.table` of the monolith. */
  monolith: text,
  /** Table of the service, or several that split the monolith's row over a shared key; the first drives. */
  service: z.union([text.transform((table) => [table]), z.array(text).min(1)]),
  /** Key columns, monolith → service; the same in each table of a split, or an object by table. */
  key: z
    .record(text, z.union([text, z.record(text, text)]))
    .refine((key) => Object.keys(key).length > 0, 'name the key columns'),
  /** Columns that move with the capability, monolith → lens. `table.column` names a later table of a split. */
  columns: z.record(text, lens).default({}),
  /** Columns that stay with the monolith and are shown, read-only, by the service. */
  stays: z.record(text, stay).default({}),
  /** Columns that each side keeps for itself: not synced, not compared, not fenced. */
  shared: z
    .strictObject({ monolith: z.array(text).default([]), service: z.array(text).default([]) })
    .default({ monolith: [], service: [] }),
  /** Values for columns that exist on one side only, in rows that come from the other. */
  defaults: z
    .strictObject({
      monolith: z.record(text, literal).default({}),
      service: z.record(text, literal).default({}),
    })
    .default({ monolith: {}, service: {} }),
});

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

const route = z.union([
  text.startsWith('/').transform((path) => ({ path })),
  z.strictObject({
    /** `/api/products`, `/api/products/:id`, `/api/products/**`. */
    path: text.startsWith('/'),
    methods: z.array(z.enum(METHODS)).min(1).optional(),
    /** Overrides what the method says (GET and HEAD read, the rest write). */
    kind: z.enum(['read', 'write']).optional(),
  }),
]);

const rule = z
  .strictObject({
    /** Where the match is looked for; exactly one. */
    header: text.optional(),
    cookie: text.optional(),
    query: text.optional(),
    /** Regular expression (case-insensitive) that the value must match. */
    matches: text.refine(isRegExp, 'is not a regular expression'),
    to: z.enum(['monolith', 'service']),
  })
  .refine(
    (given) =>
      [given.header, given.cookie, given.query].filter((part) => part !== undefined).length === 1,
    'name exactly one of header, cookie and query',
  );

const cohort = z
  .strictObject({ header: text.optional(), cookie: text.optional() })
  .refine(
    (given) => (given.header === undefined) !== (given.cookie === undefined),
    'name either header or cookie',
  )
  .default({ cookie: 'banyan_cohort' });

const share = z.number().min(0).max(1);

const capability = z.strictObject({
  service: name,
  routes: z.array(route).min(1),
  tables: z.array(tableMap).default([]),
  /** What the monolith keeps when the capability has retired: nothing, or a live, fenced copy. */
  leaves: z.enum(['nothing', 'copy']).default('nothing'),
  canary: z.strictObject({ rules: z.array(rule).default([]), cohort }).prefault({}),
  shadow: z
    .strictObject({
      /** Share of the reads that is copied, 0 to 1. */
      sample: share.default(1),
      /** JSON paths that may differ: `updatedAt`, `items.*.updatedAt`. */
      ignore: z.array(text).default([]),
      /** JSON paths of arrays whose order does not matter. */
      unordered: z.array(text).default([]),
      /** Response headers to compare besides content-type. */
      headers: z.array(text).default([]),
    })
    .prefault({}),
  gates: z
    .strictObject({
      shadowSamples: z.number().int().min(0).default(100),
      mismatchRate: share.default(0),
      lagMs: z.number().positive().default(5_000),
      verifyAgeMs: z.number().positive().default(3_600_000),
    })
    .prefault({}),
});

const facade = z
  .strictObject({
    timeoutMs: z.number().int().positive().default(3_000),
    /** Writes that may wait during a switch, and for how long. */
    hold: z
      .strictObject({
        limit: z.number().int().positive().default(1_000),
        timeoutMs: z.number().int().positive().default(10_000),
      })
      .prefault({}),
    shadow: z
      .strictObject({
        concurrency: z.number().int().positive().default(16),
        bodyBytes: z.number().int().positive().default(1_048_576),
      })
      .prefault({}),
  })
  .prefault({});

const schema = z
  .strictObject({
    /** URL of the control database; `banyan up` brings one of its own where none is named. */
    control: reference.optional(),
    monolith: side,
    services: z.record(name, side),
    capabilities: z
      .record(name, capability)
      .refine((all) => Object.keys(all).length > 0, 'name at least one capability'),
    facade,
  })
  .superRefine(crossChecks);

/** What `defineMigration` takes. */
export type MigrationInput = z.input<typeof schema>;
/** A checked definition, defaults filled in. */
export type Migration = z.output<typeof schema>;
export type Capability = Migration['capabilities'][string];
export type TableMap = Capability['tables'][number];
export type Rule = Capability['canary']['rules'][number];
export type Gates = Capability['gates'];
export type Reference = z.output<typeof reference>;

/**
 * Checks a definition and fills in its defaults.
 * Throws CONFIG_INVALID naming every mistake with its path.
 */
export function defineMigration(input: MigrationInput): Migration {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.flatMap(describeIssue);
  throw new BanyanError(
    'CONFIG_INVALID',
    `the migration definition has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n${mistakes.map((line) => `  - ${line}`).join('\n')}`,
    {
      hint: 'Each line names the place in the definition; the README lists every key.',
      details: mistakes,
    },
  );
}

function describeIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String).join('.') || '(top)';
  // Of a union's branches, the one that got furthest tells what was meant.
  if (issue.code === 'invalid_union') {
    const branch = issue.errors
      .map((issues) => issues.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })))
      .sort((a, b) => depth(b) - depth(a))[0];
    if (branch && branch.length > 0) return branch.flatMap(describeIssue);
  }
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${[...issue.path.map(String), key].join('.')}: unknown key`);
  return [`${at}: ${issue.message}`];
}

function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(
    0,
    ...issues.map((issue) => issue.path.length + (issue.code === 'invalid_type' ? 0 : 1)),
  );
}

function isRegExp(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}

type Draft = Pick<Migration, 'monolith' | 'services' | 'capabilities'>;

function crossChecks(draft: Draft, context: z.core.$RefinementCtx): void {
  const report = (path: (string | number)[], message: string): void => {
    context.issues.push({ code: 'custom', path, message, input: undefined });
  };
  const owners = new Map<string, string>();
  const claims = new Map<string, string>();
  for (const [id, given] of Object.entries(draft.capabilities)) {
    const at = ['capabilities', id];
    const service = draft.services[given.service];
    if (!service)
      report([...at, 'service'], `there is no service "${given.service}" under services`);
    if (given.tables.length > 0) {
      if (!draft.monolith.database)
        report(['monolith', 'database'], `needed: capability "${id}" has tables`);
      if (service && !service.database)
        report(['services', given.service, 'database'], `needed: capability "${id}" has tables`);
    }
    if (given.tables.length === 0 && given.leaves === 'copy')
      report([...at, 'leaves'], 'a capability without tables leaves no copy');
    given.tables.forEach((table, index) => {
      const claim = (label: string): void => {
        const other = owners.get(label);
        if (other !== undefined)
          report(
            [...at, 'tables', index],
            `table ${label} belongs to capability "${other}" already`,
          );
        owners.set(label, id);
      };
      claim(`${table.monolith} of the monolith`);
      for (const one of table.service) claim(`${one} of ${given.service}`);
      checkTable(table, (path, message) => {
        report([...at, 'tables', index, ...path], message);
      });
    });
    given.routes.forEach((one, index) => {
      for (const method of 'methods' in one && one.methods ? one.methods : ['*']) {
        const key = `${method} ${one.path}`;
        const other = claims.get(key);
        if (other !== undefined)
          report([...at, 'routes', index], `${key} is claimed by capability "${other}" already`);
        claims.set(key, id);
      }
    });
  }
}

function checkTable(table: TableMap, report: (path: string[], message: string) => void): void {
  const seen = new Map<string, string>();
  const once = (column: string, where: string): void => {
    const before = seen.get(column);
    if (before !== undefined)
      report([where, column], `column ${column} is in "${before}" already: a column has one class`);
    else seen.set(column, where);
  };
  for (const column of Object.keys(table.key)) once(column, 'key');
  for (const column of Object.keys(table.columns)) once(column, 'columns');
  for (const column of Object.keys(table.stays)) once(column, 'stays');
  for (const column of table.shared.monolith) once(column, 'shared');
  const targets = new Map<string, string>();
  const target = (to: string, path: string[]): void => {
    const qualified = to.includes('.') ? to : `${table.service[0] ?? ''}.${to}`;
    const home = qualified.slice(0, qualified.lastIndexOf('.'));
    if (!table.service.includes(home))
      report(path, `"${to}" names table ${home}, which is not in "service"`);
    const before = targets.get(qualified);
    if (before !== undefined)
      report(path, `service column ${qualified} is fed by ${before} already`);
    targets.set(qualified, path.join('.'));
  };
  for (const [column, given] of Object.entries(table.columns))
    target(given.to, ['columns', column]);
  for (const [column, given] of Object.entries(table.stays)) target(given.to, ['stays', column]);
  for (const [column, given] of Object.entries(table.key)) {
    if (typeof given === 'string') continue;
    for (const one of table.service)
      if (given[one] === undefined) report(['key', column], `names no column of ${one}`);
  }
}
