// What a shadow's comparisons prove: enough of them, few enough differences, and few enough that nobody
// could decide.
import type { Gates } from '../definition.ts';
import type { ShadowGroup, ShadowSample } from '../shadow-counts.ts';
import { gate, type GateResult } from './gate-result.ts';
import { cleanTrialsFor, upperBound } from './proportion.ts';

export interface ShadowFacts {
  readonly samples: readonly ShadowSample[];
  readonly mismatches: readonly ShadowGroup[];
}

const UNDECIDED =
  'They could not be asked again in time, never stood still, or were too large: let sync catch up, ignore what always moves, or raise facade.shadow.bodyBytes; then `banyan shadow --restart` counts anew';

/**
 * The share that differs must be within its limit, and known to be so: its upper bound is no higher than
 * the limit, or than what the samples that are asked for would show if they were all clean.
 */
export function shadowGates({ samples, mismatches }: ShadowFacts, limits: Gates): GateResult[] {
  const { shadowSamples, mismatchRate, confidence } = limits;
  const compared = sum(samples.map((one) => one.compared));
  const mismatched = sum(samples.map((one) => one.mismatched));
  const rate = compared === 0 ? 0 : mismatched / compared;
  const bound = upperBound(mismatched, compared, confidence);
  const asked = Math.max(mismatchRate, upperBound(0, shadowSamples, confidence));
  const known = bound <= asked ? 'pass' : 'inconclusive';
  // What was different, and could not be looked at again, may be a fault as well.
  const undecided = sum(samples.map((one) => one.undecided));
  const open = undecided === 0 ? 0 : (mismatched + undecided) / (compared + undecided);
  const worst = [...mismatches].sort((a, b) => b.count - a.count).slice(0, 5);
  return [
    gate(
      'shadow samples',
      compared >= shadowSamples ? 'pass' : 'inconclusive',
      `${compared}`,
      `at least ${shadowSamples}`,
    ),
    {
      ...gate(
        'shadow mismatches',
        rate > mismatchRate ? 'fail' : known,
        `${mismatched} of ${compared}, so at most ${percent(bound)} at ${percent(confidence)} confidence`,
        `${percent(mismatchRate)}, known to ${percent(asked)}`,
      ),
      ...(known === 'inconclusive' && {
        remedy: `It takes ${cleanTrialsFor(asked, confidence)} comparisons without a difference`,
      }),
      ...(worst.length > 0 && {
        note: worst.map((one) => `${one.route} at ${one.path} (${one.count}×)`).join('; '),
      }),
    },
    {
      ...gate(
        'shadow undecided',
        open <= asked ? 'pass' : 'inconclusive',
        `${undecided} differences`,
        `at most ${percent(asked)} with the mismatches`,
      ),
      ...(open > asked && { remedy: UNDECIDED }),
    },
  ];
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
