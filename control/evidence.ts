// What gates ask for: shadow samples that facades counted, the state of flows that sync published,
// the outcome of verify runs. Writers add, the coordinator reads.
import type { Knex } from 'knex';

import type { Direction } from './domain/flow.ts';

/** What one facade counted on one route since it last reported. */
export interface ShadowCounts {
  readonly capability: string;
  readonly route: string;
  /** Of the capability's state when the copies began. */
  readonly version: number;
  readonly compared: number;
  readonly mismatched: number;
  readonly dropped: number;
  /** Kinds of differences, summed over the answers, that the control's own noise excused. */
  readonly noise: number;
}

/** A difference between control and candidate: grouped by route and JSON path, one example each. */
export interface ShadowMismatch {
  readonly capability: string;
  readonly route: string;
  /** Of the capability's state when the copies began. */
  readonly version: number;
  /** `status`, `header content-type` or a JSON path such as `items.*.price`. */
  readonly path: string;
  readonly count: number;
  readonly example: {
    readonly url: string;
    readonly control: unknown;
    readonly candidate: unknown;
  };
}

/** Counts and mismatches as they have been added up, over all facades of the phase. */
export type ShadowSample = Omit<ShadowCounts, 'version'>;
export type ShadowGroup = Omit<ShadowMismatch, 'version'>;

export interface BackfillProgress {
  readonly table: string;
  readonly rows: number;
  /** The planner's guess of the table's size; 0 when it has none. */
  readonly estimatedRows: number;
  /** Rows a second, lately; null where nothing is being copied. */
  readonly perSecond?: number | null;
  readonly done: boolean;
}

/** `copy paused`: a human has paused the copy, and the stream goes on. */
export type FlowStatus =
  'starting' | 'backfill' | 'copy paused' | 'streaming' | 'retrying' | 'stopped' | 'paused';

export interface FlowReport {
  readonly capability: string;
  readonly direction: Direction;
  readonly status: FlowStatus;
  readonly errorCode: string | null;
  readonly error: string | null;
  /** `timeline/commit LSN/seq` of the checkpoint. */
  readonly position: string | null;
  /** Control database's time up to which the target is complete; ISO. */
  readonly watermark: string | null;
  /** Source commit to target commit, milliseconds, over the last minute. */
  readonly lagP50Ms: number | null;
  readonly lagP99Ms: number | null;
  /** Changes applied since the process started. */
  readonly applied: number;
  readonly backfill: readonly BackfillProgress[] | null;
  /** Changes that could not be applied, and those that wait behind them; null when nobody looked. */
  readonly parked: number | null;
  /** Way back: conflicts that the owner has judged so far; null when nobody looked. */
  readonly conflicts?: number | null;
  /** Way there: rows that the owner spoke of while they were in flight at the service, since the process started. */
  readonly overtaken?: number | null;
}

export interface FlowLine extends FlowReport {
  /** WAL that the source keeps for the flow's slot, in bytes; null when nobody could look. */
  readonly retainedBytes: number | null;
  /** How long ago the report was made and the watermark taken, by the control database's clock. */
  readonly reportAgeMs: number;
  readonly watermarkAgeMs: number | null;
}

export interface FlowWatermark {
  readonly capability: string;
  readonly direction: Direction;
  readonly watermark: Date;
}

export interface VerifyOutcome {
  readonly capability: string;
  readonly rows: number;
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Rows that kept changing while they were compared: nothing is known of them. */
  readonly unsettled: number;
  readonly samples: readonly unknown[];
}

export interface VerifyLine extends VerifyOutcome {
  readonly ageMs: number;
}

export class Evidence {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** The control database's clock, the only one that watermarks are in. */
  async now(): Promise<Date> {
    const { rows } = await this.#db.raw<{ rows: { now: Date }[] }>(
      'SELECT clock_timestamp() AS now',
    );
    return rows[0]?.now ?? new Date();
  }

  /** Adds counts; those of a shadow phase before the present one are left out. */
  async addShadow(
    counts: readonly ShadowCounts[],
    mismatches: readonly ShadowMismatch[],
  ): Promise<void> {
    await this.#db.transaction(async (db) => {
      // The lock keeps a phase from beginning between this look and our commit.
      const since = new Map(
        (
          await db<{ capability: string; version: string }>('banyan.shadow_since')
            .whereIn('capability', [...new Set(counts.map((one) => one.capability))])
            .orderBy('capability')
            .forShare()
        ).map((row) => [row.capability, Number(row.version)]),
      );
      const counting = (one: ShadowCounts | ShadowMismatch): boolean =>
        one.version >= (since.get(one.capability) ?? 0);
      for (const one of counts.filter(counting))
        await db.raw(
          `INSERT INTO banyan.shadow_sample AS s (capability, route, compared, mismatched, dropped, noise)
           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (capability, route) DO UPDATE SET
             compared = s.compared + excluded.compared, mismatched = s.mismatched + excluded.mismatched,
             dropped = s.dropped + excluded.dropped, noise = s.noise + excluded.noise`,
          [one.capability, one.route, one.compared, one.mismatched, one.dropped, one.noise],
        );
      for (const one of mismatches.filter(counting))
        await db.raw(
          `INSERT INTO banyan.shadow_mismatch AS m (capability, route, path, count, example)
           VALUES (?, ?, ?, ?, ?) ON CONFLICT (capability, route, path) DO UPDATE SET
             count = m.count + excluded.count, example = excluded.example`,
          [one.capability, one.route, one.path, one.count, JSON.stringify(one.example)],
        );
    });
  }

  async shadow(
    capability: string,
  ): Promise<{ samples: ShadowSample[]; mismatches: ShadowGroup[] }> {
    const samples = await this.#db<Record<keyof ShadowSample, string>>('banyan.shadow_sample')
      .where({ capability })
      .orderBy('route');
    const mismatches = await this.#db<Omit<ShadowGroup, 'count'> & { count: string }>(
      'banyan.shadow_mismatch',
    )
      .where({ capability })
      .orderBy(['route', 'path']);
    return {
      samples: samples.map((row) => ({
        capability: row.capability,
        route: row.route,
        compared: Number(row.compared),
        mismatched: Number(row.mismatched),
        dropped: Number(row.dropped),
        noise: Number(row.noise),
      })),
      mismatches: mismatches.map((row) => ({ ...row, count: Number(row.count) })),
    };
  }

  /**
   * Forgets what shadow traffic told: evidence counts from the moment the phase began, which is that
   * of the state's `version`; counts of an older one are refused from now on.
   */
  async clearShadow(capability: string, version: number): Promise<void> {
    await this.#db.transaction(async (db) => {
      await db('banyan.shadow_since')
        .insert({ capability, version })
        .onConflict('capability')
        .merge();
      await db('banyan.shadow_sample').where({ capability }).delete();
      await db('banyan.shadow_mismatch').where({ capability }).delete();
    });
  }

  async reportFlow(report: FlowReport): Promise<void> {
    const row = {
      capability: report.capability,
      direction: report.direction,
      status: report.status,
      error_code: report.errorCode,
      error: report.error,
      position: report.position,
      watermark: report.watermark,
      lag_p50_ms: report.lagP50Ms,
      lag_p99_ms: report.lagP99Ms,
      applied: report.applied,
      backfill: report.backfill === null ? null : JSON.stringify(report.backfill),
      ...(report.parked !== null && { parked: report.parked }),
      ...(typeof report.conflicts === 'number' && { conflicts: report.conflicts }),
      ...(typeof report.overtaken === 'number' && { overtaken: report.overtaken }),
      updated_at: this.#db.raw('clock_timestamp()'),
    };
    await this.#db('banyan.flow').insert(row).onConflict(['capability', 'direction']).merge();
  }

  /** What the source keeps for a flow; nothing where the flow has not reported yet. */
  async reportRetained(capability: string, direction: Direction, bytes: number): Promise<void> {
    await this.#db('banyan.flow')
      .where({ capability, direction })
      .update({ retained_bytes: bytes });
  }

  async dropFlow(capability: string, direction: Direction): Promise<void> {
    await this.#db('banyan.flow').where({ capability, direction }).delete();
  }

  async flows(capability: string): Promise<FlowLine[]> {
    const { rows } = await this.#db.raw<{ rows: FlowRow[] }>(
      `SELECT *, extract(epoch FROM clock_timestamp() - updated_at) * 1000 AS report_age_ms,
              extract(epoch FROM clock_timestamp() - watermark) * 1000 AS watermark_age_ms
         FROM banyan.flow WHERE capability = ? ORDER BY direction DESC`,
      [capability],
    );
    return rows.map((row) => ({
      capability: row.capability,
      direction: row.direction,
      status: row.status,
      errorCode: row.error_code,
      error: row.error,
      position: row.position,
      watermark: row.watermark?.toISOString() ?? null,
      lagP50Ms: row.lag_p50_ms,
      lagP99Ms: row.lag_p99_ms,
      applied: Number(row.applied),
      backfill: row.backfill,
      parked: Number(row.parked),
      conflicts: row.conflicts === null ? null : Number(row.conflicts),
      overtaken: row.overtaken === null ? null : Number(row.overtaken),
      retainedBytes: row.retained_bytes === null ? null : Number(row.retained_bytes),
      reportAgeMs: Number(row.report_age_ms),
      watermarkAgeMs: row.watermark_age_ms === null ? null : Number(row.watermark_age_ms),
    }));
  }

  /** The control database's clock and every flow's watermark, in one look. */
  async watermarks(): Promise<{ readonly now: Date; readonly flows: readonly FlowWatermark[] }> {
    const { rows } = await this.#db.raw<{
      rows: { now: Date; capability: string | null; direction: Direction; watermark: Date }[];
    }>(
      `SELECT clock_timestamp() AS now, capability, direction, watermark
         FROM (SELECT 1) AS once LEFT JOIN banyan.flow ON watermark IS NOT NULL`,
    );
    return {
      now: rows[0]?.now ?? new Date(),
      flows: rows.flatMap(({ capability, direction, watermark }) =>
        capability === null ? [] : [{ capability, direction, watermark }],
      ),
    };
  }

  async addVerify(outcome: VerifyOutcome): Promise<void> {
    await this.#db('banyan.verify_run').insert({
      ...outcome,
      samples: JSON.stringify(outcome.samples),
    });
  }

  /** The newest verify run of a capability; with `sinceSwitch`, only one that began to count after it. */
  async lastVerify(capability: string, sinceSwitch = false): Promise<VerifyLine | undefined> {
    const { rows } = await this.#db.raw<{
      rows: (Record<keyof VerifyOutcome, string> & { age_ms: string; samples: unknown[] })[];
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
        ageMs: Number(row.age_ms),
      }
    );
  }
}

interface FlowRow {
  capability: string;
  direction: Direction;
  status: FlowStatus;
  error_code: string | null;
  error: string | null;
  position: string | null;
  watermark: Date | null;
  lag_p50_ms: number | null;
  lag_p99_ms: number | null;
  applied: string;
  backfill: BackfillProgress[] | null;
  parked: string;
  conflicts: string | null;
  overtaken: string | null;
  retained_bytes: string | null;
  report_age_ms: string;
  watermark_age_ms: string | null;
}
