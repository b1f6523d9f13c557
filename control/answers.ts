// How the two paths answered: facades add what they counted, gates read it. Counts are kept by the
// version of the state that they were made under, so that a step of a canary is judged by its own, and
// what a facade reports late falls where it belongs.
import type { Knex } from 'knex';
import { LATENCY_BUCKETS } from './domain/latencies.ts';
import type { Owner } from './domain/phase.ts';

/** What one facade counted since it last reported. */
export interface AnswerCounts {
  readonly capability: string;
  /** Of the capability's state. */
  readonly version: number;
  readonly route: string;
  readonly kind: 'read' | 'write';
  /** The path that was to answer; where the other one stood in, it counts as failed here. */
  readonly path: Owner;
  readonly answered: number;
  readonly failed: number;
  /** By `bucketOf`. */
  readonly latencies: readonly number[];
}

/** All that one path answered. */
export interface PathAnswers {
  readonly answered: number;
  readonly failed: number;
  readonly latencies: readonly number[];
  /** The route with the most failures, where there are any. */
  readonly worst:
    { readonly route: string; readonly answered: number; readonly failed: number } | undefined;
}

export interface Answers extends Readonly<Record<Owner, PathAnswers>> {
  /** What the monolith answered before: all there is to go by where little or none of it runs beside. */
  readonly earlier?: PathAnswers | undefined;
}

export interface AnswerRange {
  /** The first version that counts, and the first that does not any more. */
  readonly from: number;
  readonly before?: number;
  /** Reads only, or all. */
  readonly reads: boolean;
}

/** Several rows are added in one order everywhere, so that two facades never wait for each other in a ring. */
export async function addAnswers(db: Knex, counts: readonly AnswerCounts[]): Promise<void> {
  if (counts.length === 0) return;
  const key = (one: AnswerCounts): string =>
    JSON.stringify([one.capability, one.version, one.route, one.kind, one.path]);
  const rows = [...counts].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  await db.raw(
    `INSERT INTO banyan.answer AS a (capability, version, route, kind, path, answered, failed, latencies)
     SELECT capability, version, route, kind, path, answered, failed,
            ARRAY(SELECT jsonb_array_elements_text(latencies)::bigint)
       FROM jsonb_to_recordset(?::jsonb) AS given(capability text, version bigint, route text, kind text,
            path text, answered bigint, failed bigint, latencies jsonb)
     ON CONFLICT (capability, version, route, kind, path) DO UPDATE SET
       answered = a.answered + excluded.answered, failed = a.failed + excluded.failed,
       latencies = ARRAY(SELECT coalesce(x, 0) + coalesce(y, 0)
         FROM unnest(a.latencies, excluded.latencies) WITH ORDINALITY AS both_sides(x, y, at) ORDER BY at)`,
    [JSON.stringify(rows)],
  );
}

/** What both paths have answered within a range of versions. */
export async function answers(
  db: Knex,
  capability: string,
  { from, before, reads }: AnswerRange,
): Promise<Answers> {
  const rows = await db<AnswerRow>('banyan.answer')
    .whereIn('kind', reads ? ['read'] : ['read', 'write'])
    .where({ capability })
    .where('version', '>=', String(from))
    .where('version', '<', String(before ?? Number.MAX_SAFE_INTEGER));
  const of = (path: Owner): PathAnswers => {
    const latencies = new Array<number>(LATENCY_BUCKETS).fill(0);
    const byRoute = new Map<string, { answered: number; failed: number }>();
    for (const row of rows.filter((one) => one.path === path)) {
      row.latencies.forEach((count, at) => (latencies[at] = (latencies[at] ?? 0) + Number(count)));
      const route = byRoute.get(row.route) ?? { answered: 0, failed: 0 };
      route.answered += Number(row.answered);
      route.failed += Number(row.failed);
      byRoute.set(row.route, route);
    }
    const routes = [...byRoute].map(([route, counted]) => ({ route, ...counted }));
    const [worst] = routes.filter(({ failed }) => failed > 0).sort((a, b) => b.failed - a.failed);
    return {
      answered: routes.reduce((sum, one) => sum + one.answered, 0),
      failed: routes.reduce((sum, one) => sum + one.failed, 0),
      latencies,
      worst,
    };
  };
  return { monolith: of('monolith'), service: of('service') };
}

/** The version with which the capability's present phase began. */
export async function phaseVersion(db: Knex, capability: string): Promise<number> {
  const row = await db<{ capability: string; phase_version: string }>('banyan.capability')
    .where({ capability })
    .first();
  return Number(row?.phase_version ?? 0);
}

/** Forgets what was counted before the state had this version. */
export async function clearAnswers(db: Knex, capability: string, version: number): Promise<void> {
  await db('banyan.answer').where({ capability }).where('version', '<', version).delete();
}

interface AnswerRow {
  capability: string;
  version: string;
  route: string;
  kind: 'read' | 'write';
  path: Owner;
  answered: string;
  failed: string;
  latencies: string[];
}
