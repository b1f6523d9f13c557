// What there is to know of a request once it has ended.
import type { Match } from './domain/routes.ts';
import type { ProblemName } from './problem.ts';
import type { Path } from './request-figures.ts';

export interface Ended {
  readonly match: Match | undefined;
  /** Who answered; `none` when it was forwarded to nobody. */
  readonly path: Path;
  readonly status: number;
  readonly ms: number;
  /** Of the answer's body, as it was passed on. */
  readonly bytes: number;
  /** Of the capability's state when it ended. */
  readonly version: number | undefined;
  readonly retries: number;
  readonly fellBack: boolean;
  /** Why the client got the edge's own answer. */
  readonly why: ProblemName | 'ambiguous' | undefined;
}

/** What there is to say of a request that was forwarded to nobody. */
export const UNFORWARDED = {
  bytes: 0,
  version: undefined,
  retries: 0,
  fellBack: false,
  why: undefined,
} as const satisfies Partial<Ended>;
