// What a flow tells of itself: how far behind it is, up to when its target is complete, how much it
// has applied. With a change parked the target is not complete, whatever came after it.
import { formatLsn, type Position } from '../core/postgres/lsn.ts';
import type { BackfillProgress, FlowReport, FlowStatus } from '../control/flow-reports.ts';
import type { Applied } from './batch.ts';
import { LagWindow } from './domain/lag.ts';

/** What is so at the moment of a report. */
export interface Standing {
  readonly status: FlowStatus;
  readonly position: Position;
  /** Rows are still to be copied, or to be read again. */
  readonly incomplete: boolean;
  readonly copied: BackfillProgress[];
  readonly parked: number;
}

/** The flow that is told of. */
export interface Told extends Pick<FlowReport, 'capability' | 'direction' | 'mapping'> {
  /** How many an earlier process has judged; null where nobody judges. */
  readonly conflicts: number | null;
}

export class FlowFigures {
  readonly #flow: Pick<FlowReport, 'capability' | 'direction' | 'mapping'>;
  readonly #lag = new LagWindow();
  #watermark: string | null = null;
  #applied = 0;
  #overtaken = 0;
  /** Null where nobody judges. */
  #conflicts: number | null;

  constructor({ conflicts, ...flow }: Told) {
    this.#flow = flow;
    this.#conflicts = conflicts;
  }

  note(applied: Applied, isComplete: boolean): void {
    const now = Date.now();
    for (const commitMs of applied.commitTimes) this.#lag.add(now - commitMs);
    this.#applied += applied.changes;
    if (this.#conflicts !== null) this.#conflicts += applied.conflicts;
    this.#overtaken += applied.overtaken;
    if (applied.watermark !== undefined && isComplete) this.#watermark = applied.watermark;
  }

  report({ status, position, incomplete, copied, parked }: Standing): FlowReport {
    const { timeline, commitLsn, seq } = position;
    const isForward = this.#flow.direction === 'to';
    return {
      ...this.#flow,
      status,
      errorCode: null,
      error: null,
      position: `${timeline}/${formatLsn(commitLsn)}/${seq}`,
      watermark: incomplete ? null : this.#watermark,
      lagP50Ms: this.#lag.percentile(0.5),
      lagP99Ms: this.#lag.percentile(0.99),
      applied: this.#applied,
      backfill: isForward ? copied : null,
      parked,
      conflicts: this.#conflicts,
      overtaken: isForward ? this.#overtaken : null,
    };
  }
}
