// What each switch of ownership leaves for the record: who moved what and why, on which evidence, how far
// the old owner's writes had come when it moved, and what writers felt of it. The shape is a promise:
// fields are added under a new `version`, never taken away or given another meaning.
import type { Knex } from 'knex';
import { z } from 'zod';

const phase = z.enum(['monolith', 'sync', 'shadow', 'canary', 'cutover', 'retired']);
const time = z.iso.datetime();

/** One certificate, as `banyan journal --certificates --json` gives them, oldest first. */
const certificate = z.strictObject({
  version: z.literal(1),
  capability: z.string(),
  /** Number of the switch. */
  switch: z.number().int(),
  from: phase,
  to: phase,
  /** `done`: the owner is another; `undone`: taken back before its flip; the others are under way. */
  outcome: z.enum(['running', 'flipped', 'done', 'undone']),
  startedAt: time,
  endedAt: time.nullable(),
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
  /** Each step with the epoch it was done under and what it found. */
  steps: z.array(
    z.strictObject({
      step: z.string(),
      epoch: z.number().int(),
      at: time,
      evidence: z.record(z.string(), z.unknown()),
    }),
  ),
  /** Up to which commit of the old owner the new one is complete; null before that, and without tables. */
  drainedTo: z.string().nullable(),
  /** How long writers were held, in milliseconds; null before they are released. */
  pauseMs: z.number().nullable(),
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
  steps: { step: string; epoch: number; at: string; evidence: Record<string, unknown> }[];
  entry: { who: string; why: string; evidence: { gates?: unknown[] } } | null;
  verified: (Record<string, number> & { at: string }) | null;
}

/** Oldest first. Throws a ZodError for a record that this version does not understand. */
export async function certificates(db: Knex, capability: string): Promise<Certificate[]> {
  // A switch begins right after the journal's line that carries its gates.
  const { rows } = await db.raw<{ rows: SwitchRow[] }>(
    `SELECT s.*,
            (SELECT coalesce(jsonb_agg(jsonb_build_object('step', step, 'epoch', epoch, 'at', at, 'evidence', evidence) ORDER BY seq), '[]')
               FROM banyan.switch_step WHERE switch_id = s.id) AS steps,
            (SELECT jsonb_build_object('who', who, 'why', why, 'evidence', evidence) FROM banyan.journal j
              WHERE j.capability = s.capability AND j.at <= s.started_at AND j.evidence -> 'gates' IS NOT NULL
              ORDER BY j.id DESC LIMIT 1) AS entry,
            (SELECT jsonb_build_object('at', at, 'rows', v.rows, 'missing', missing, 'extra', extra, 'different', different, 'unsettled', unsettled)
               FROM banyan.verify_run v WHERE v.capability = s.capability AND v.at <= s.started_at
              ORDER BY v.id DESC LIMIT 1) AS verified
       FROM banyan.switch s WHERE s.capability = ? ORDER BY s.id`,
    [capability],
  );
  return rows.map((row) => {
    const last = (step: string): Record<string, unknown> | undefined =>
      row.steps.findLast((one) => one.step === step)?.evidence;
    const held = last('held');
    return certificate.parse({
      version: 1,
      capability,
      switch: Number(row.id),
      from: row.from_phase,
      to: row.to_phase,
      outcome: row.status,
      startedAt: row.started_at.toISOString(),
      endedAt: row.ended_at?.toISOString() ?? null,
      who: row.entry?.who ?? '',
      why: row.entry?.why ?? '',
      gates: row.entry?.evidence.gates ?? [],
      verified: row.verified && { ...row.verified, at: iso(row.verified.at) },
      steps: row.steps.map((one) => ({ ...one, at: iso(one.at) })),
      drainedTo: last('drained')?.['position'] ?? null,
      pauseMs: last('released')?.['pauseMs'] ?? null,
      replicas: held?.['replicas'] ?? [],
      leftBehind: held?.['leftBehind'] ?? [],
    });
  });
}

function iso(text: string): string {
  return new Date(text).toISOString();
}
