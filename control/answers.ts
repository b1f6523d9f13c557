// How the two paths answered: facades add what they counted, gates read it. Counts are kept by the
// version of the state that they were made under, so that a step of a canary is judged by its own, and
// what a facade reports late falls where it belongs; and by kind, because reads and writes fail, and take
// their time, each in their own way.
import type { Knex } from 'knex';
import {
  KINDS,
  NO_COUNTS,
  pathAnswers,
  plus,
  type Kind,
  type PathAnswers,
} from './domain/answers.ts';
import type { Owner } from './domain/phase.ts';

/** What one facade counted since it last reported. */
export interface AnswerCounts {
  readonly capability: string;
  /** Of the capability's state. */
  readonly version: number;
  readonly route: string;
  readonly kind: Kind;
  /** The path that was to answer; where the other one stood in, it counts as failed here. */
  readonly path: Owner;
  readonly answered: number;
  readonly failed: number;
  /** By `bucketOf`. */
  readonly latencies: readonly number[];
}

export interface AnswerRange {
  /** The first version that counts, and the first that does not any more. */
  readonly from: number;
  readonly before?: number;
  /** Reads only, or all. */
  readonly reads: boolean;
}

/** Rows are locked in one order everywhere, so that two who write several never wait for each other in a ring. */
const IN_ORDER = `ORDER BY capability COLLATE "C", version, route COLLATE "C", kind, path`;

/** What was kept while the database was away may hold several counts of one kind: they are added up first. */
export async function addAnswers(db: Knex, counts: readonly AnswerCounts[]): Promise<void> {
  if (counts.length === 0) return;
  const sums = new Map<string, AnswerCounts>();
  for (const one of counts) {
    const key = JSON.stringify([one.capability, one.version, one.route, one.kind, one.path]);
    sums.set(key, { ...one, ...plus(sums.get(key) ?? NO_COUNTS, one) });
  }
  await db.raw(
    `INSERT INTO banyan.answer AS a (capability, version, route, kind, path, answered, failed, latencies)
     SELECT capability, version, route, kind, path, answered, failed,
            ARRAY(SELECT jsonb_array_elements_text(latencies)::bigint)
       FROM jsonb_to_recordset(?::jsonb) AS given(capability text, version bigint, route text, kind text,
            path text, answered bigint, failed bigint, latencies jsonb)
      ${IN_ORDER}
     ON CONFLICT (capability, version, route, kind, path) DO UPDATE SET
       answered = a.answered + excluded.answered, failed = a.failed + excluded.failed,
       latencies = ARRAY(SELECT coalesce(x, 0) + coalesce(y, 0)
         FROM unnest(a.latencies, excluded.latencies) WITH ORDINALITY AS both_sides(x, y, at) ORDER BY at)`,
    [JSON.stringify([...sums.values()])],
  );
}

/** What both paths have answered within a range of versions. */
export async function answers(
  db: Knex,
  capability: string,
  range: AnswerRange,
): Promise<Record<Owner, PathAnswers>> {
  return bothPaths(await rowsOf(db, capability, range));
}

/** The same, version by version, the oldest first. */
export async function answersByVersion(
  db: Knex,
  capability: string,
  range: AnswerRange,
): Promise<Record<Owner, PathAnswers>[]> {
  const versions = new Map<number, AnswerRow[]>();
  for (const row of await rowsOf(db, capability, range)) {
    const version = Number(row.version);
    versions.set(version, [...(versions.get(version) ?? []), row]);
  }
  return [...versions].sort(([a], [b]) => a - b).map(([, rows]) => bothPaths(rows));
}

/** So many answers of a kind say what is usual; what is older than these may have been mended, or broken, since. */
const TELL_USUAL = 5_000;

/** What the monolith answered lately before a version: of each kind the newest steps that say enough. */
export async function usualAnswers(
  db: Knex,
  capability: string,
  before: number,
  reads: boolean,
): Promise<PathAnswers> {
  const rows = await rowsOf(db, capability, { from: 0, before, reads }).where({ path: 'monolith' });
  const newest = [...rows].sort((a, b) => Number(b.version) - Number(a.version));
  const recent = KINDS.flatMap((kind) => {
    let [seen, last] = [0, ''];
    return newest.filter((row) => {
      if (row.kind !== kind || (seen >= TELL_USUAL && row.version !== last)) return false;
      [seen, last] = [seen + Number(row.answered), row.version];
      return true;
    });
  });
  return bothPaths(recent).monolith;
}

/** The version with which the present phase began, or a canary got its first share. */
export async function phaseVersion(db: Knex, capability: string): Promise<number> {
  const row = await db<{ capability: string; phase_version: string }>('banyan.capability')
    .where({ capability })
    .first();
  return Number(row?.phase_version ?? 0);
}

/** Forgets what was counted before the state had this version. */
export async function clearAnswers(db: Knex, capability: string, version: number): Promise<void> {
  await db.transaction(async (within) => {
    const old = [capability, version];
    await within.raw(
      `SELECT 1 FROM banyan.answer WHERE capability = ? AND version < ? ${IN_ORDER} FOR UPDATE`,
      old,
    );
    await within.raw('DELETE FROM banyan.answer WHERE capability = ? AND version < ?', old);
  });
}

/** Of the steps before the present phase so many are kept: they say what is usual. */
const KEPT_VERSIONS = 20;

/** Forgets what no gate asks for any more. */
export async function pruneAnswers(db: Knex, capability: string): Promise<void> {
  const from = await phaseVersion(db, capability);
  const { rows } = await db.raw<{ rows: { version: string }[] }>(
    `SELECT DISTINCT version FROM banyan.answer WHERE capability = ? AND version < ?
      ORDER BY version DESC OFFSET ? LIMIT 1`,
    [capability, from, KEPT_VERSIONS - 1],
  );
  const [oldest] = rows;
  if (oldest) await clearAnswers(db, capability, Number(oldest.version));
}

function rowsOf(
  db: Knex,
  capability: string,
  { from, before, reads }: AnswerRange,
): Knex.QueryBuilder<AnswerRow, AnswerRow[]> {
  return db<AnswerRow>('banyan.answer')
    .whereIn('kind', reads ? ['read'] : ['read', 'write'])
    .where({ capability })
    .where('version', '>=', String(from))
    .where('version', '<', String(before ?? Number.MAX_SAFE_INTEGER));
}

function bothPaths(rows: readonly AnswerRow[]): Record<Owner, PathAnswers> {
  const of = (path: Owner): PathAnswers =>
    pathAnswers(
      rows
        .filter((row) => row.path === path)
        .map(({ route, kind, answered, failed, latencies }) => ({
          ...{ route, kind, answered: Number(answered), failed: Number(failed) },
          latencies: latencies.map(Number),
        })),
    );
  return { monolith: of('monolith'), service: of('service') };
}

interface AnswerRow {
  capability: string;
  version: string;
  route: string;
  kind: Kind;
  path: Owner;
  answered: string;
  failed: string;
  latencies: string[];
}
