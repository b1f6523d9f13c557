// Where a verification keeps how far it has come, so that one that was interrupted goes on from its
// last finished range of keys. What is kept counts only for the same definition, for the same owner
// and the same copy of the data, and for a day.
import { RECOPIED } from './verify-outcomes.ts';
import { randomUUID } from 'node:crypto';
import type { Knex } from 'knex';

/** How far one walk over a table has come. */
export interface VerifyStepState {
  readonly step: string;
  /** The last key that is finished; null when there is none yet. */
  readonly cursor: readonly string[] | null;
  readonly rows: number;
  readonly done: boolean;
}

export interface VerifySuspectName {
  readonly table: string;
  readonly key: readonly string[];
}

export interface VerifyRunState {
  readonly steps: readonly VerifyStepState[];
  readonly suspects: readonly VerifySuspectName[];
}

export type Resumption =
  | { readonly kind: 'resumed'; readonly run: VerifyRun; readonly state: VerifyRunState }
  /** Nothing can be gone on with, for this reason. */
  | { readonly kind: 'none'; readonly why: string };

const KEPT_MS = 24 * 3_600_000;

export class VerifyRuns {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** Begins anew; what an earlier run has kept is forgotten. */
  async begin(capability: string, definition: string): Promise<VerifyRun> {
    const run = randomUUID();
    await this.#db.transaction(async (db) => {
      await db('banyan.verify_progress').where({ capability }).delete();
      const era = await eraOf(db, capability);
      await db('banyan.verify_progress').insert({ capability, run, definition, era });
    });
    return new VerifyRun(this.#db, capability, run);
  }

  /** Takes up what an earlier run has kept; that one, should it still be at work, keeps nothing more. */
  async resume(capability: string, definition: string): Promise<Resumption> {
    return this.#db.transaction(async (db): Promise<Resumption> => {
      const found = await db.raw<{ rows: ProgressRow[] }>(
        `SELECT definition, era, extract(epoch FROM clock_timestamp() - saved_at) * 1000 AS age_ms
           FROM banyan.verify_progress WHERE capability = ? FOR UPDATE`,
        [capability],
      );
      const [kept] = found.rows;
      if (!kept) return { kind: 'none', why: 'no verification of it was interrupted' };
      if (kept.definition !== definition)
        return { kind: 'none', why: 'the definition or a schema has changed since' };
      if (kept.era !== (await eraOf(db, capability)))
        return { kind: 'none', why: 'its data were copied anew or have changed their owner since' };
      if (Number(kept.age_ms) > KEPT_MS)
        return { kind: 'none', why: 'it was interrupted more than a day ago' };
      const run = randomUUID();
      await db('banyan.verify_progress').where({ capability }).update({ run });
      const steps = await db<StepRow>('banyan.verify_step').where({ capability });
      const suspects = await db<SuspectRow>('banyan.verify_suspect').where({ capability });
      return {
        kind: 'resumed',
        run: new VerifyRun(this.#db, capability, run),
        state: {
          steps: steps.map(({ step, cursor, rows, done }) => ({
            step,
            cursor,
            rows: Number(rows),
            done,
          })),
          suspects: suspects.map((row) => ({ table: row.source_table, key: row.key })),
        },
      };
    });
  }
}

export class VerifyRun {
  readonly #db: Knex;
  readonly #capability: string;
  readonly #run: string;

  constructor(db: Knex, capability: string, run: string) {
    this.#db = db;
    this.#capability = capability;
    this.#run = run;
  }

  /** Keeps where a step stands and the suspects it has found since; nothing once another run has begun. */
  async record(step: VerifyStepState, suspects: readonly VerifySuspectName[]): Promise<void> {
    const capability = this.#capability;
    await this.#db.transaction(async (db) => {
      const own = await db('banyan.verify_progress')
        .where({ capability, run: this.#run })
        .update({ saved_at: db.raw('clock_timestamp()') });
      if (own === 0) return;
      await db('banyan.verify_step')
        .insert({ capability, ...step })
        .onConflict(['capability', 'step'])
        .merge();
      await db.raw(
        `INSERT INTO banyan.verify_suspect (capability, source_table, key)
         SELECT ?, one->>'table', ARRAY(SELECT jsonb_array_elements_text(one->'key'))
           FROM jsonb_array_elements(?::jsonb) AS one ON CONFLICT DO NOTHING`,
        [capability, JSON.stringify(suspects)],
      );
    });
  }

  /** There is nothing left to go on with. */
  async finish(): Promise<void> {
    await this.#db('banyan.verify_progress')
      .where({ capability: this.#capability, run: this.#run })
      .delete();
  }
}

/** Changes when the owner does, and when the data are copied anew, or all of them again. */
async function eraOf(db: Knex, capability: string): Promise<string> {
  const { rows } = await db.raw<{ rows: { era: string }[] }>(
    `SELECT concat((SELECT epoch FROM banyan.capability WHERE capability = ?), '/',
                   (SELECT max(id) FROM banyan.journal
                     WHERE capability = ? AND (event = ? OR
                           from_phase <> to_phase AND 'monolith' IN (from_phase, to_phase)))) AS era`,
    [capability, capability, RECOPIED],
  );
  return rows[0]?.era ?? '';
}

interface ProgressRow {
  definition: string;
  era: string;
  age_ms: string;
}

interface StepRow {
  capability: string;
  step: string;
  cursor: string[] | null;
  rows: string;
  done: boolean;
}

interface SuspectRow {
  capability: string;
  source_table: string;
  key: string[];
}
