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
  /** Fingerprint of the mapping that it compared by; undefined where it was not noted. */
  readonly mapping?: string | undefined;
}

export interface VerifyLine extends VerifyOutcome {
  readonly ageMs: number;
}

export async function addVerify(db: Knex, outcome: VerifyOutcome): Promise<void> {
  await db('banyan.verify_run').insert({
    ...outcome,
    samples: JSON.stringify(outcome.samples),
  });
}

/** The newest verify run of a capability; with `sinceSwitch`, only one that began to count after it. */
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
        AND (NOT ? OR at > coalesce(
          (SELECT max(ended_at) FROM banyan.switch WHERE capability = ? AND status = 'done'), '-infinity'))
      ORDER BY id DESC LIMIT 1`,
    [capability, sinceSwitch, capability],
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
