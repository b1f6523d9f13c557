// How the owner judges a change that the service made under a write canary. Pure: the applier at the
// owner (judge.ts) and the enumeration of histories (histories.test.ts) run the same functions.
//
// The protocol. The service's clients write; each row that they change is *in flight* until the owner
// has judged the change. The applier at the owner judges one transaction of the service after the
// other against its locked rows, and its own transaction carries, in this order:
//   1. `judged`: the changes of that transaction are in flight no more;
//   2. an answer for each of them that bears the owner's row as it is then: the echo of the change
//      itself where it was applied, else a `row` message.
// At the service whatever comes from the owner about a row, an echo too, is applied exactly when the
// row is not in flight there; a `row` that is a *reset* ends the flight of its row first.
//
// Why both sides end equal under every policy. Take the last thing that the owner's stream says of a
// row; it bears the owner's final row. Were the row in flight when it came, its change would be judged
// later, and an answer would follow: it would not have been the last. So it was applied. A client's
// write after that would be judged, and answered, too. What the stream says is in the owner's order,
// because the row is locked when it is said. Where there is no row to lock, a row that another session
// is just inserting may come before our "there is none" in the stream: such a row is read again
// (copying.ts) behind it, and what is read is one more thing that the stream says.
//
// Why the service alone never meets a conflict. Nothing touches a row that is in flight, so each of
// its writes is based on the one before, and the owner applies them one by one. After a conflict the
// changes that were in flight are based on a row that the owner has refused: the reset goes out once,
// for the first of them; until it has been taken (the service's stream says so) the others are
// answered without one, and nothing that clients write on top of the reset is overwritten.
import type { Conflict, ConflictPolicy, Verdict } from '../../control/domain/conflicts.ts';

/** What the owner's row, locked, says of a change. */
export interface Facts {
  /** Whether it changes anything that is mapped. */
  readonly changes: boolean;
  /** The owner's row is what the service's client saw: for an insert, there is none. */
  readonly asBefore: boolean;
  /** It is already what the change makes of it: for a delete, there is none. */
  readonly asAfter: boolean;
}

/** agrees: it can be applied; settled: there is nothing to do. */
export type Standing = 'agrees' | 'settled' | 'conflict';

export function standingOf({ changes, asBefore, asAfter }: Facts): Standing {
  if (!changes || asAfter) return 'settled';
  return asBefore ? 'agrees' : 'conflict';
}

/** When the two rows of a conflict were written, Unix ms; null where that is not known. */
export interface Times {
  readonly incoming: number;
  readonly owner: number | null;
}

/**
 * Which row stands. For the last writer: the same moment is the owner's, and so is a row of the owner
 * whose time is not known (written before commit times were kept, or frozen since; deleted and no
 * tombstone left): not knowing is no permission to overwrite.
 */
export function verdictOf(policy: ConflictPolicy, conflict: Conflict, times: Times): Verdict {
  if (policy === 'owner-wins') return 'owner';
  if (policy === 'last-writer-wins')
    return times.owner !== null && times.incoming > times.owner ? 'service' : 'owner';
  return policy(conflict);
}

/** What the applier at the owner does about a change, and how it answers. */
export type Judgement =
  /** Its echo is the answer. */
  | { readonly effect: 'apply' }
  /** The owner's row is the answer. */
  | { readonly effect: 'none'; readonly answer: 'row' | 'reset' };

/** `awaited`: a reset of this row is on its way, and the change was made before it arrived. */
export function judgementOf(standing: Standing, verdict: Verdict, awaited: boolean): Judgement {
  if (standing === 'agrees' || (standing === 'conflict' && verdict === 'service'))
    return { effect: 'apply' };
  return { effect: 'none', answer: standing === 'conflict' && !awaited ? 'reset' : 'row' };
}

/** Whether what the owner's stream says of a row is applied at the service. */
export function lands(inFlight: boolean): boolean {
  return !inFlight;
}
