// The way back, which may be several phases: as many moves, each by the rules of its own. Where one is
// refused, those before it stand, and the refusal says how far it has come.
import { BanyanError, isBanyanError } from '../core/errors.ts';
import type { Coordinator } from '../control/coordinator.ts';
import { wayBack, type MoveRequest, type MoveResult } from '../control/domain/move.ts';
import type { Phase } from '../control/domain/phase.ts';

/** Moves a capability that is in `from` back to `to`; one phase where that is left out. Throws what a move throws. */
export async function rollBack(
  coordinator: Pick<Coordinator, 'move'>,
  from: Phase,
  { to, ...asked }: Pick<MoveRequest, 'capability' | 'why' | 'to'>,
): Promise<MoveResult[]> {
  const request = { ...asked, event: 'rollback' } as const;
  if (to === undefined) return [await coordinator.move(request)];
  const steps = wayBack(from, to) ?? [];
  // Who is there already, or is on no way there, hears it from the coordinator.
  if (steps.length === 0) return [await coordinator.move({ ...request, to })];
  const moves: MoveResult[] = [];
  for (const step of steps)
    try {
      moves.push(await coordinator.move({ ...request, to: step }));
    } catch (error) {
      throw stuck(error, moves);
    }
  return moves;
}

function stuck(error: unknown, moves: readonly MoveResult[]): unknown {
  const last = moves.at(-1);
  if (!last || !isBanyanError(error)) return error;
  const { code, message, hint, details } = error;
  const far = [
    ...moves.map(describeMove),
    `it is in ${last.to} now, and goes no further: ${message}`,
  ];
  return new BanyanError(code, far.join('\n'), { hint, details, cause: error });
}

/** A move for people: from where to where, and the gates it has passed. */
export function describeMove(result: MoveResult): string {
  const weight = result.to === 'canary' ? ` at ${result.weight} %` : '';
  const pause = result.pauseMs === undefined ? '' : `; writes paused for ${result.pauseMs} ms`;
  const gates = result.gates.map(
    (gate) => `  ${gate.verdict}  ${gate.gate}: ${gate.figure} (limit ${gate.limit})`,
  );
  const moved =
    result.from === result.to && result.to !== 'canary'
      ? `is in ${result.to}`
      : `${result.from} → ${result.to}`;
  return [`${result.capability}: ${moved}${weight}${pause}`, ...gates].join('\n');
}
