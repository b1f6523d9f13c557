// How sure a ratio of two middles is, told by the rounds themselves: the percentile bootstrap (Efron,
// "Bootstrap Methods: Another Look at the Jackknife", 1979).
import { median } from './harness.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 4_000;
/** As much of them lies below the interval, and as much above it. */
const TAIL = 0.025;

/**
 * Within what the ratio of the middle of `ours` to the middle of `theirs` lies with 95 %, as far as the rounds
 * can tell. Both have one figure per round: a round is drawn whole, for its figures share what the machine did.
 */
export function ratioInterval(ours: readonly number[], theirs: readonly number[]): Interval {
  const rounds = Math.min(ours.length, theirs.length);
  const ratios = Array.from({ length: RESAMPLES }, () => {
    const drawn = Array.from({ length: rounds }, () => Math.floor(Math.random() * rounds));
    const middle = (figures: readonly number[]): number =>
      median(drawn.map((round) => figures[round] ?? Number.NaN));
    return middle(ours) / middle(theirs);
  }).sort((a, b) => a - b);
  const at = (share: number): number => ratios[Math.round(share * (RESAMPLES - 1))] ?? Number.NaN;
  return { low: at(TAIL), high: at(1 - TAIL) };
}
