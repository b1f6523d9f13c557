// The way back, which may be several phases: as many moves, each by the rules of its own. Where one is
// refused, those before it stand, and the refusal says how far it has come.
import { BanyanError, isBanyanError } from '../core/errors.ts';
import type { Coordinator } from '../control/coordinator.ts';
import { warns, type GateResult } from '../control/domain/gate-result.ts';
import { wayBack, type MoveRequest, type MoveResult } from '../control/domain/move.ts';
import type { Phase } from '../control/domain/phase.ts';

/** Moves a capability that is in `from` back to `to`; one phase where that is left out. Throws what a move throws. */
export async function rollBack(
  coordinator: Pick<Coordinator, 'move'>,
  from: Phase,
  asked: Pick<MoveRequest, 'capability' | 'why' | 'to' | 'blockers'>,
): Promise<MoveResult[]> {
  const moves: MoveResult[] = [];
  for (const request of requestsBack(from, asked))
    try {
      moves.push(await coordinator.move(request));
    } catch (error) {
      throw stuck(error, moves);
    }
  return moves;
}

/** The moves that lead back, each by name. Who is there already, or is on no way there, hears it from the coordinator. */
export function requestsBack(
  from: Phase,
  { to, ...asked }: Pick<MoveRequest, 'capability' | 'why' | 'to' | 'blockers'>,
): MoveRequest[] {
  const request = { ...asked, event: 'rollback' } as const;
  if (to === undefined) return [request];
  const steps = wayBack(from, to) ?? [];
  return (steps.length === 0 ? [to] : steps).map((step) => ({ ...request, to: step }));
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
    (gate) =>
      `  ${gate.verdict}  ${gate.gate}: ${gate.figure} (limit ${gate.limit})${warns(gate) ? warningOf(gate) : ''}`,
  );
  const moved =
    result.from === result.to && result.to !== 'canary'
      ? `is in ${result.to}`
      : `${result.from} → ${result.to}`;
  return [`${result.capability}: ${moved}${weight}${pause}`, ...gates].join('\n');
}

function warningOf({ note, remedy }: GateResult): string {
  const why = [note, remedy].flatMap((one) => (one === undefined ? [] : [`; ${one}`]));
  return `: it has gone back all the same, and must be mended before it goes on again${why.join('')}`;
}
