// What a decision depends on besides the request and the states, as this replica knows it.
import type { CohortKeys } from './cohort-keys.ts';
import type { Surroundings } from './domain/decide.ts';
import type { OwnWrites } from './own-writes.ts';
import type { Visit } from './visit.ts';

export interface SurroundingsSources {
  /** Whether coordinators still count on this replica. */
  readonly leaseValid: () => boolean;
  readonly ownWrites: Pick<OwnWrites, 'wroteAt'>;
  readonly cohorts: Pick<CohortKeys, 'isSigned'>;
}

export function surroundings({
  leaseValid,
  ownWrites,
  cohorts,
}: SurroundingsSources): Surroundings<Visit> {
  return {
    leaseValid,
    wroteAt: ({ req }, capability) => ownWrites.wroteAt(req, capability),
    // A field of a trusted proxy's is its word; a key of ours bears our signature.
    isVerified: ({ trusted }, key, { source, given }) =>
      source === 'header' ? trusted : given && cohorts.isSigned(key),
  };
}
