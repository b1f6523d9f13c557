// How the chance of a false alarm is shared out among the steps of a rollout. The more even the two paths
// are, the longer it takes to tell them apart, and the more is at stake than in a first small share: such
// steps get more of it, so that none waits much longer than another for the same certainty.
import type { Place } from './rollout.ts';

/** Of a step in which one path tells of itself within moments. */
const LEAST = 0.5;

/** The shares of all steps, of the cutover, and of one place beside them where it may have begun, are 1. */
export function shareOf(steps: readonly number[], { phase, weight }: Place): number {
  const all = steps.reduce((sum, step) => sum + hardness(step), 2 * LEAST);
  return (phase === 'canary' && steps.includes(weight) ? hardness(weight) : LEAST) / all;
}

function hardness(percent: number): number {
  const share = percent / 100;
  const evenness = 4 * share * (1 - share);
  return LEAST + evenness * evenness;
}
