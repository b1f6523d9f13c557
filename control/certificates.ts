// What each switch of ownership leaves for the record: who moved what and why, on which evidence, how far
// the old owner's writes had come when it moved, and what writers felt of it. The shape is a promise:
// fields are added under a new `version`, never taken away or given another meaning.
import type { Knex } from 'knex';
import { z } from 'zod';

const phase = z.enum(['monolith', 'sync', 'shadow', 'canary', 'cutover', 'retired']);
const time = z.iso.datetime();

/** One certificate, as `banyan journal --certificates --json` gives them, oldest first. */
const certificate = z.strictObject({
  version: z.literal(2),
  capability: z.string(),
  /** Number of the switch. */
  switch: z.number().int(),
  from: phase,
  to: phase,
  /** `done`: the owner is another; `undone`: taken back before its flip; the others are under way. */
  outcome: z.enum(['running', 'flipped', 'done', 'undone']),
  startedAt: time,
  endedAt: time.nullable(),
  /** Number of the journal's line that it began with; null for one that an older version made. */
  journal: z.number().int().nullable(),
  /** Fingerprint of the capability's settings; null for one that an older version made. */
  definition: z.string().nullable(),
  who: z.string(),
  why: z.string(),
  /** Each gate with figure, limit and verdict. */
  gates: z.array(
    z.looseObject({
      gate: z.string(),
      verdict: z.enum(['pass', 'fail', 'inconclusive']),
      figure: z.string(),
      limit: z.string(),
    }),
  ),
  /** The last comparison of both sides before it; null where none was made. */
  verified: z
    .strictObject({
      at: time,
      rows: z.number(),
      missing: z.number(),
      extra: z.number(),
      different: z.number(),
      unsettled: z.number(),
    })
    .nullable(),
  /** The probe that had just come back from the service before it began; null where none had to. */
  wayBack: z.strictObject({ position: z.string(), ms: z.number() }).nullable(),
  /** Each step with the epoch it was done under and what it found. */
  steps: z.array(
    z.strictObject({
      step: z.string(),
      epoch: z.number().int(),
      at: time,
      evidence: z.record(z.string(), z.unknown()),
    }),
  ),
  /**
   * Where each side's WAL tells who writes from there on: the monolith's, which flow `to` reads, and the
   * service's, which flow `back` reads. Null before that, and without tables.
   */
  barriers: z.strictObject({ to: z.string().nullable(), back: z.string().nullable() }),
  /** Up to which commit of the old owner the new one is complete; null before that, and without tables. */
  drainedTo: z.string().nullable(),
  /** How long writers were held, in milliseconds; null before they are released. */
  pauseMs: z.number().nullable(),
  /** Writes that facades held back, and the longest of those waits; null before, and where an older version made it. */
  held: z.strictObject({ writes: z.number().int(), longestMs: z.number() }).nullable(),
  /** Facades that acknowledged the hold, and those that were left to the fence. */
  replicas: z.array(z.string()),
  leftBehind: z.array(z.string()),
});

export type Certificate = z.infer<typeof certificate>;

interface SwitchRow {
  id: string;
  from_phase: string;
  to_phase: string;
  status: string;
  started_at: Date;
  ended_at: Date | null;
  journal_id: string | null;
  definition: string | null;
  held: { writes: number; longestMs: number } | null;
  steps: { step: string; epoch: number; at: string; evidence: Record<string, unknown> }[];
  entry: { who: string; why: string; evidence: { gates?: unknown[]; wayBack?: unknown } } | null;
  verified: (Record<string, number> & { at: string }) | null;
}

/** Oldest first. Throws a ZodError for a record that this version does not understand. */
export async function certificates(db: Knex, capability: string): Promise<Certificate[]> {
  // One that an older version made does not say which line it began with: the last one with gates before it.
  const { rows } = await db.raw<{ rows: SwitchRow[] }>(
    `SELECT s.*,
            (SELECT coalesce(jsonb_agg(jsonb_build_object('step', step, 'epoch', epoch, 'at', at, 'evidence', evidence) ORDER BY seq), '[]')
               FROM banyan.switch_step WHERE switch_id = s.id) AS steps,
            (SELECT jsonb_build_object('who', who, 'why', why, 'evidence', evidence) FROM banyan.journal j
              WHERE j.id = coalesce(s.journal_id, (SELECT max(o.id) FROM banyan.journal o
                WHERE o.capability = s.capability AND o.at <= s.started_at AND o.evidence -> 'gates' IS NOT NULL))) AS entry,
            (SELECT jsonb_build_object('at', at, 'rows', v.rows, 'missing', missing, 'extra', extra, 'different', different, 'unsettled', unsettled)
               FROM banyan.verify_run v
              WHERE v.id = CASE WHEN s.journal_id IS NULL THEN (SELECT max(o.id) FROM banyan.verify_run o
                WHERE o.capability = s.capability AND o.at <= s.started_at) ELSE s.verify_id END) AS verified,
            (SELECT jsonb_build_object('writes', coalesce(sum(h.writes), 0), 'longestMs', coalesce(max(h.longest_ms), 0))
               FROM (SELECT min((evidence ->> 'version')::bigint) FILTER (WHERE step = 'held') AS first,
                            max((evidence ->> 'version')::bigint) FILTER (WHERE step IN ('released', 'undone')) AS last
                       FROM banyan.switch_step WHERE switch_id = s.id) hold
               LEFT JOIN banyan.held h ON h.capability = s.capability AND h.version BETWEEN hold.first AND hold.last
             HAVING bool_and(hold.first IS NOT NULL AND hold.last IS NOT NULL)) AS held
       FROM banyan.switch s WHERE s.capability = ? ORDER BY s.id`,
    [capability],
  );
  return rows.map((row) => {
    const last = (step: string): Record<string, unknown> | undefined =>
      row.steps.findLast((one) => one.step === step)?.evidence;
    const held = last('held');
    return certificate.parse({
      version: 2,
      capability,
      switch: Number(row.id),
      from: row.from_phase,
      to: row.to_phase,
      outcome: row.status,
      startedAt: row.started_at.toISOString(),
      endedAt: row.ended_at?.toISOString() ?? null,
      journal: row.journal_id === null ? null : Number(row.journal_id),
      definition: row.definition,
      who: row.entry?.who ?? '',
      why: row.entry?.why ?? '',
      gates: row.entry?.evidence.gates ?? [],
      verified: row.verified && { ...row.verified, at: iso(row.verified.at) },
      wayBack: row.entry?.evidence.wayBack ?? null,
      steps: row.steps.map((one) => ({ ...one, at: iso(one.at) })),
      barriers: Object.assign(
        { to: null, back: null },
        ...row.steps.map((one) => one.evidence['barriers'] ?? {}),
      ) as unknown,
      drainedTo: last('drained')?.['position'] ?? null,
      held: row.held,
      pauseMs: last('released')?.['pauseMs'] ?? null,
      replicas: held?.['replicas'] ?? [],
      leftBehind: held?.['leftBehind'] ?? [],
    });
  });
}

function iso(text: string): string {
  return new Date(text).toISOString();
}
