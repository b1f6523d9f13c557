// The words of a conflict under a write canary: what a team's own function is shown of one, and the
// policies that decide it.

/** A row by the monolith's column names, values in PostgreSQL's own text. */
export type ConflictRow = Readonly<Record<string, string | null>>;

/** The owner's row is not what the service's client saw when it wrote. */
export interface Conflict {
  /** Table of the monolith, `schema.table`. */
  readonly table: string;
  readonly key: ConflictRow;
  /** The owner's row as it is; null where there is none. */
  readonly owner: ConflictRow | null;
  /** What the service made of it, the columns that its table feeds; null where it deleted it. */
  readonly incoming: ConflictRow | null;
  /** What the service's client saw; null where it inserted it. */
  readonly before: ConflictRow | null;
}

export type Verdict = 'owner' | 'service';

/**
 * Which of the two rows stands. It must say the same of the same conflict each time: after a crash it
 * is asked again.
 */
export type ConflictFunction = (conflict: Conflict) => Verdict;

export type ConflictPolicy = 'owner-wins' | 'last-writer-wins' | ConflictFunction;

export function policyName(policy: ConflictPolicy): string {
  return typeof policy === 'function' ? 'function' : policy;
}
