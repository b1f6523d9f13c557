// What verify runs found, one row a run; the newest counts.
import type { Knex } from 'knex';

export interface VerifyOutcome {
  readonly capability: string;
  readonly rows: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Rows that kept changing while they were compared: nothing is known of them. */
  readonly unsettled: number;
  readonly samples: readonly unknown[];
  /** How long it took. */
  readonly tookMs?: number | undefined;
  /** Fingerprint of the mapping that it compared by; undefined where it was not noted. */
  readonly mapping?: string | undefined;
}

export interface VerifyLine extends VerifyOutcome {
  readonly ageMs: number;
}

/** Event of the journal: all rows are copied again. */
export const RECOPIED = 'recopy';

export async function addVerify(
  db: Knex,
  { tookMs = 0, ...outcome }: VerifyOutcome,
): Promise<void> {
  await db('banyan.verify_run').insert({
    ...outcome,
    samples: JSON.stringify(outcome.samples),
    began_at: db.raw('clock_timestamp() - make_interval(secs => ?)', [tookMs / 1_000]),
  });
}

/**
 * The newest verify run of a capability since its rows were copied, or copied again as a whole; with
 * `sinceSwitch`, since the last switch.
 */
export async function lastVerify(
  db: Knex,
  capability: string,
  sinceSwitch = false,
): Promise<VerifyLine | undefined> {
  const { rows } = await db.raw<{
    rows: (Record<Exclude<keyof VerifyOutcome, 'mapping'>, string> & {
      age_ms: string;
      samples: unknown[];
      mapping: string | null;
    })[];
  }>(
    `SELECT *, extract(epoch FROM clock_timestamp() - at) * 1000 AS age_ms
       FROM banyan.verify_run WHERE capability = ?
        AND (NOT ? OR began_at > coalesce(
          (SELECT max(ended_at) FROM banyan.switch WHERE capability = ? AND status = 'done'), '-infinity'))
        AND began_at > coalesce(
          (SELECT max(at) FROM banyan.journal WHERE capability = ?
              AND (event = ? OR (from_phase = 'monolith' AND to_phase <> 'monolith'))), '-infinity')
      ORDER BY id DESC LIMIT 1`,
    [capability, sinceSwitch, capability, capability, RECOPIED],
  );
  const row = rows[0];
  return (
    row && {
      capability,
      rows: Number(row.rows),
      missing: Number(row.missing),
      extra: Number(row.extra),
      different: Number(row.different),
      unsettled: Number(row.unsettled),
      samples: row.samples,
      mapping: row.mapping ?? undefined,
      ageMs: Number(row.age_ms),
    }
  );
}
