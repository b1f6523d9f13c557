// `--dry-run`: a move as it would be made, for people.
import { warns, type GateResult } from '../control/domain/gate-result.ts';
import type { DryRun } from '../control/dry-run.ts';

export function describeDryRun({ capability, from, to, weight, gates, steps }: DryRun): string {
  if (steps.length === 0) return `${capability}: is in ${to}: there is nothing to do`;
  const place = to === 'canary' ? `${to} at ${weight} %` : to;
  return [
    `${capability}: ${from} → ${place} would do this, and has done nothing:`,
    ...gates.map(
      (gate) =>
        `  ${verdictOf(gate)}  ${gate.gate}: ${gate.figure} (limit ${gate.limit})${gate.note === undefined ? '' : `: ${gate.note}`}`,
    ),
    ...steps.flatMap(({ step, touches }) => [`  ${step}`, ...touches.map((line) => `    ${line}`)]),
  ].join('\n');
}

function verdictOf(gate: GateResult): string {
  return warns(gate) ? `${gate.verdict}, told only` : gate.verdict;
}
