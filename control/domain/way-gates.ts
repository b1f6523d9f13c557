// The gates of the two ways that a switch leaves open. Back to the monolith: without it the service is not
// given the right to write. And forward again: it is told, and keeps nobody from going back.
import type { MissingRight } from '../applier-rights.ts';
import type { RightsFound, WayForward } from '../way-back.ts';
import type { GateResult } from './gate-result.ts';

const NONE_MISSING = 'none missing';

/** `missing`: what applier and coordinator lack at the monolith, where anybody has looked. */
export function wayBackGate(missing: RightsFound | undefined): GateResult {
  const gate = 'way back';
  if (missing === undefined || typeof missing === 'string')
    return {
      gate,
      verdict: 'inconclusive',
      figure: 'not looked at',
      limit: NONE_MISSING,
      ...(missing !== undefined && { note: missing }),
      remedy: "Let the monolith's database be reached from here",
    };
  return { gate, ...rightsOf(missing, 'monolith'), limit: NONE_MISSING };
}

/** As far as somebody has looked. */
export function wayForwardGate({ missing, probe, why }: WayForward): GateResult {
  const gate = 'way forward';
  const limit = 'none missing, and a probe that comes through';
  if (missing === undefined || missing.length === 0)
    return {
      gate,
      verdict: probe ? 'pass' : 'inconclusive',
      limit,
      figure: probe ? `a probe came through in ${probe.ms} ms` : 'no probe has come through',
      ...(why !== undefined && { note: why }),
      ...(!probe && { remedy: '`banyan status` shows what keeps sync to from running' }),
    };
  return { gate, ...rightsOf(missing, 'service'), limit };
}

function rightsOf(
  missing: readonly MissingRight[],
  side: 'monolith' | 'service',
): Pick<GateResult, 'verdict' | 'figure' | 'note' | 'remedy'> {
  const figure = `${missing.length} rights missing`;
  if (missing.length === 0) return { verdict: 'pass', figure };
  return {
    verdict: 'fail',
    figure,
    note: missing.map(({ role, right }) => `${role} lacks ${right}`).join('; '),
    remedy: `Give them what they lack in the ${side}'s database: ${missing.map(({ sql }) => sql).join('; ')}`,
  };
}
