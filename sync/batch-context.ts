// What the parts that write a batch share: the session, the plan, what is being copied, parked, in flight.
import type { Copying } from './copying.ts';
import type { Coalescer } from './domain/coalesce.ts';
import type { Mode } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';
import type { TargetTable } from './domain/target-table.ts';
import type { Flights } from './flights.ts';
import type { Parking } from './parking.ts';
import type { Target } from './target.ts';

/** What a flow writes in one mode: its targets, parents first, and the folding of changes into them. */
export interface ModePlan {
  readonly coalescer: Coalescer;
  readonly targets: readonly TargetTable[];
}

/** In which order the rows of a run of changes are written: no order suits every run. */
export interface Arrangement {
  /** Rows go when those that pointed to them point elsewhere, or else when nothing has come in their place. */
  deletesLast: boolean;
}

export interface BatchContext {
  readonly target: Target;
  readonly plan: FlowPlan;
  readonly copying: Copying;
  readonly parking: Parking;
  readonly modes: Readonly<Record<Mode, ModePlan>>;
  readonly flights: Flights;
  readonly arrangement: Arrangement;
  /** The source tables that feed the rows of a driver beside it, by the driver's. */
  readonly parts: ReadonlyMap<string, readonly string[]>;
  /** Throws where the source is not what its copies were made from: rows came or went beside the stream. */
  readonly look: (() => Promise<unknown>) | undefined;
}

/**
 * How a batch is written. Folded first; when that is refused, change by change in source order;
 * when that is refused too, the same with what is refused parked, deferred constraints being looked
 * at in the end, or else after each change.
 */
export type Care = 'folded' | 'in order' | 'parking' | 'parking strictly';
