// What a team writes: its databases, its capabilities, their routes and tables (table-map.ts). The shape, as a zod
// schema, in which an unknown key is a mistake; define.ts parses it.
import { z } from 'zod';
import { source } from './debezium-settings.ts';
import { facade } from './facade-settings.ts';
import { changeLog } from './kafka-settings.ts';
import { sync } from './sync-settings.ts';
import type { ConflictFunction } from './domain/conflicts.ts';
import { rollout } from './rollout-settings.ts';
import { share, text, wait } from './schema-words.ts';
import { tableMap } from './table-map.ts';

const name = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,30}$/, 'use lower-case letters, digits, - and _ (at most 31)');
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

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

const route = z.union([
  text.startsWith('/').transform((path) => ({ path })),
  z.strictObject({
    /** `/api/products`, `/api/products/:id`, `/api/products/**`. */
    path: text.startsWith('/'),
    methods: z.array(z.enum(METHODS)).min(1).optional(),
    /** Overrides what the method says (GET and HEAD read, the rest write). */
    kind: z.enum(['read', 'write']).optional(),
    /** Deadline of this route's requests; `facade.timeoutMs` where left out. */
    timeoutMs: wait.optional(),
    /** What an overloaded edge refuses first and last: `low`, then `normal`, `high` never. */
    priority: z.enum(['low', 'normal', 'high']).optional(),
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
  .strictObject({
    header: text.optional(),
    cookie: text.optional(),
    /** Of the JSON Web Token in `Authorization: Bearer`, whose signature is for the upstreams to check. */
    claim: text.optional(),
  })
  .refine(
    (given) => Object.values(given).filter((part) => part !== undefined).length === 1,
    'name exactly one of header, cookie and claim',
  )
  .default({ cookie: 'banyan_cohort' });

const capability = z.strictObject({
  service: name,
  routes: z.array(route).min(1),
  tables: z.array(tableMap).default([]),
  /** Where the monolith's changes come from, when a Debezium connector that runs already brings them. */
  source,
  /** What the monolith keeps when the capability has retired: nothing, or a live, fenced copy. */
  leaves: z.enum(['nothing', 'copy']).default('nothing'),
  canary: z
    .strictObject({
      rules: z.array(rule).default([]),
      cohort,
      /** Whether cohorts of a canary write to the service too, while the monolith still owns the data. */
      writes: z.boolean().default(false),
      /**
       * Which row stands when both sides have changed the same one: the monolith's (`owner-wins`), the
       * later one by the two servers' clocks (`last-writer-wins`), or what a function of yours says,
       * `({ table, key, owner, incoming, before }) => 'owner' | 'service'`, always the same of the same.
       */
      conflicts: z
        .union([
          z.enum(['owner-wins', 'last-writer-wins']),
          z.custom<ConflictFunction>(
            (given) => typeof given === 'function',
            "must be 'owner-wins', 'last-writer-wins' or a function",
          ),
        ])
        .default('owner-wins'),
    })
    .prefault({}),
  /** Whether a read whose path fails may be answered by the other path, while that is fresh. */
  fallback: z.boolean().default(true),
  shadow: z
    .strictObject({
      /** Share of the reads that is copied, 0 to 1. */
      sample: share.default(1),
      /** JSON paths that may differ: `updatedAt`, `items.*.updatedAt`. */
      ignore: z.array(text).default([]),
      /** JSON paths of arrays whose order does not matter. */
      unordered: z.array(text).default([]),
      /** How far apart numbers, or decimal texts, may be: `{ 'items.*.price': 0.01 }`. */
      tolerance: z.record(text, z.number().positive()).default({}),
      /** Response headers to compare besides content-type. */
      headers: z.array(text).default([]),
      /** What the monolith does not reproduce itself is found by asking it twice, on a share of the copies. */
      noise: z.strictObject({ sample: share.default(0.05) }).prefault({}),
    })
    .prefault({}),
  gates: z
    .strictObject({
      shadowSamples: z.number().int().min(0).default(100),
      mismatchRate: share.default(0),
      /** How sure the bounds are that are told of rates. */
      confidence: z.number().min(0.5).max(0.9999).default(0.95),
      /** Answers of the service in `canary` before its figures count. */
      canarySamples: z.number().int().min(0).default(100),
      /** How much slower the service may be at p95: by this factor, and by so many milliseconds at least. */
      p95Factor: z.number().min(1).default(1.5),
      p95FloorMs: z.number().min(0).default(50),
      /** Conflicts of a write canary that may have been judged. */
      conflicts: z.number().int().min(0).default(0),
      lagMs: z.number().positive().default(5_000),
      verifyAgeMs: z.number().positive().default(3_600_000),
    })
    .prefault({}),
  rollout,
});

/** Everything but what only a look at the whole can tell (definition-checks.ts). */
export const schema = z.strictObject({
  /** URL of the control database; `banyan up` brings one of its own where none is named. */
  control: reference.optional(),
  monolith: side,
  services: z.record(name, side),
  capabilities: z
    .record(name, capability)
    .refine((all) => Object.keys(all).length > 0, 'name at least one capability'),
  facade,
  sync,
  changeLog,
});

export type { TableMap } from './table-map.ts';

/** What `defineMigration` takes. */
export type MigrationInput = z.input<typeof schema>;
/** A checked definition, defaults filled in. */
export type Migration = z.output<typeof schema>;
export type Capability = Migration['capabilities'][string];
export type Rule = Capability['canary']['rules'][number];
export type Gates = Capability['gates'];
export type Reference = z.output<typeof reference>;

function isRegExp(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}
