// What came of one shadow copy.
import type { Difference } from './difference-kind.ts';

/** Why a copy told nothing. */
export type DropReason =
  /** The edge is overloaded: copies are the first thing to go. */
  | 'shed'
  /** The candidate has given no usable answer for a while: it is asked once a second until it does. */
  | 'ejected'
  /** Too many copies at once (`facade.shadow.concurrency`). */
  | 'busy'
  /** Copies have used up their share of the processor (`facade.shadow.cpu`), or repetitions wait for it. */
  | 'cpu'
  /** Copies have brought in as many bytes as they may (`facade.shadow.bytesPerSecond`). */
  | 'bandwidth'
  /** The answers that are kept have filled `facade.shadow.memoryBytes`. */
  | 'memory'
  /** A body over `facade.shadow.bodyBytes`; or all of this route were, and it is asked once a second. */
  | 'too-large'
  /** The client's own answer did not come whole. */
  | 'control-failed'
  /** 206 and 304 answer a condition of the client's. */
  | 'partial'
  /** The read has a body that was not kept (`facade.retry.bodyBytes`). */
  | 'has-body'
  /** Too many differences wait for their repetition, or the control was asked again too often. */
  | 'recheck-busy'
  /** The watermark did not pass in time. */
  | 'not-synced'
  /** The compared place never stood still. */
  | 'in-flux'
  /** The capability left `shadow`, or the process ended, before the verdict. */
  | 'over'
  /** A defect; see the log. */
  | 'error';

/** `noise` counts the kinds of differences that the control's own noise excused. */
export type Verdict =
  | { readonly kind: 'matched'; readonly noise: number }
  | {
      readonly kind: 'mismatched';
      readonly differences: readonly Difference[];
      readonly noise: number;
    }
  | {
      readonly kind: 'dropped';
      readonly reason: DropReason;
      /** A difference was seen, and neither proven nor excused. */
      readonly undecided?: true;
    };

export function dropped(reason: DropReason): Verdict {
  return { kind: 'dropped', reason };
}

/** The answers differed, and that is all that is known. */
export function undecided(reason: DropReason): Verdict {
  return { kind: 'dropped', reason, undecided: true };
}
