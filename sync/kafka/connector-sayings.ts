// What a flow has to say in the stream of a connector, and cannot say yet. While a connector stands still
// the flow goes on telling how far the source is, some times a second: of that some is left out, so that
// what is left lies evenly between the first, which comes due soonest, and the last.
import type { Lsn } from '../../core/postgres/lsn.ts';
import type { Change } from '../domain/change.ts';

/** Something to be said in the stream. */
export interface Saying {
  readonly change: Change;
  /** What was committed before this place in the WAL comes before it; at once where left out. */
  readonly lsn?: Lsn;
  /** Whether nothing behind that place may come before it. */
  readonly exact?: boolean;
  /** Ends of the partitions, read once the connector had confirmed that place. */
  ends?: ReadonlyMap<string, bigint>;
}

/** How many wait at most that only tell how far the source is. */
const MOST = 64;

/** The same in their order; where one too many waits, without the one whose neighbours are closest. */
export function thinned<S extends Saying>(sayings: S[]): S[] {
  const telling = sayings.filter(({ lsn, exact }) => lsn !== undefined && exact !== true);
  if (telling.length <= MOST) return sayings;
  const span = (index: number): Lsn =>
    (telling[index + 1]?.lsn ?? 0n) - (telling[index - 1]?.lsn ?? 0n);
  let least = 1;
  for (let index = 2; index < telling.length - 1; index++)
    if (span(index) < span(least)) least = index;
  return sayings.filter((one) => one !== telling[least]);
}
