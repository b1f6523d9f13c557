// What sync says of its flows: status, position, watermark, lag. One row a flow, written by the process that
// runs it; ages are by the control database's clock, whoever asks.
import type { Knex } from 'knex';
import type { Direction } from './domain/flow.ts';

export interface BackfillProgress {
  readonly table: string;
  readonly rows: number;
  /** The planner's guess of the table's size; 0 when it has none. */
  readonly estimatedRows: number;
  /** Rows a second, lately; null where nothing is being copied. */
  readonly perSecond?: number | null;
  readonly done: boolean;
}

/**
 * `copy paused`: a human has paused the copy, and the stream goes on. `copy waits`: for transactions that may
 * have changed its tables before these were published; the stream goes on then, too.
 */
export type FlowStatus =
  | 'starting'
  | 'backfill'
  | 'copy paused'
  | 'copy waits'
  | 'streaming'
  | 'retrying'
  | 'stopped'
  | 'paused';

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
  /** Fingerprint of the mapping that the flow runs by; null when it does not run, or did not say. */
  readonly mapping?: string | null;
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

export async function reportFlow(db: Knex, report: FlowReport): Promise<void> {
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
    ...(typeof report.mapping === 'string' && { mapping: report.mapping }),
    updated_at: db.raw('clock_timestamp()'),
  };
  await db('banyan.flow').insert(row).onConflict(['capability', 'direction']).merge();
}

/** What the source keeps for a flow; nothing where the flow has not reported yet. */
export async function reportRetained(
  db: Knex,
  capability: string,
  direction: Direction,
  bytes: number,
): Promise<void> {
  await db('banyan.flow').where({ capability, direction }).update({ retained_bytes: bytes });
}

export async function dropFlow(db: Knex, capability: string, direction: Direction): Promise<void> {
  await db('banyan.flow').where({ capability, direction }).delete();
}

export async function flows(db: Knex, capability: string): Promise<FlowLine[]> {
  const { rows } = await db.raw<{ rows: FlowRow[] }>(
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
    mapping: row.mapping,
    retainedBytes: row.retained_bytes === null ? null : Number(row.retained_bytes),
    reportAgeMs: Number(row.report_age_ms),
    watermarkAgeMs: row.watermark_age_ms === null ? null : Number(row.watermark_age_ms),
  }));
}

/** The control database's clock and every flow's watermark, in one look. */
export async function watermarks(
  db: Knex,
): Promise<{ readonly now: Date; readonly flows: readonly FlowWatermark[] }> {
  const { rows } = await db.raw<{
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
  mapping: string | null;
  report_age_ms: string;
  watermark_age_ms: string | null;
}
