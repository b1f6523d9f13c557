// Coordinators that stand still in the middle of what they do, lose their lease as one that was killed
// would, and may wake up late; and the one that takes over.
import { waitFor } from '../../core/lifecycle.ts';
import type { MoveRequest } from '../../control/domain/move.ts';
import type { Pair } from './pair.ts';
import { loseLease, stopAt } from './stand-still.ts';

/** Starts a move whose coordinator stops at `step`. What it gives lets it go on, and tells what it comes to. */
export async function dieAt(
  pair: Pair,
  step: string,
  request: Omit<MoveRequest, 'capability'>,
): Promise<() => Promise<unknown>> {
  const sleeping = Promise.withResolvers<undefined>();
  const reached = Promise.withResolvers<undefined>();
  const coordinator = pair.coordinator({
    who: 'dead',
    onStep: async (done) => {
      if (done !== step) return;
      reached.resolve(undefined);
      await sleeping.promise;
    },
  });
  const outcome = coordinator
    .move({ capability: 'catalog', ...request })
    .catch((error: unknown) => {
      reached.reject(error);
      return error;
    });
  await reached.promise;
  await loseLease(pair);
  return () => {
    sleeping.resolve(undefined);
    return outcome;
  };
}

/**
 * Has a move's coordinator stand still before a statement, its lease lost, while something happens; then
 * wakes it, and gives what it comes to.
 */
export async function overtaken(
  pair: Pair,
  statement: RegExp,
  request: Omit<MoveRequest, 'capability'>,
  meanwhile: () => Promise<void>,
): Promise<unknown> {
  const stop = stopAt(statement);
  try {
    const late = pair
      .coordinator()
      .move({ capability: 'catalog', ...request })
      .catch((error: unknown) => error);
    await stop.reached;
    await loseLease(pair);
    await meanwhile();
    stop.wake();
    return await late;
  } finally {
    stop.restore();
  }
}

/** Waits until another coordinator has ended what was left open. */
export async function recovered(pair: Pair): Promise<void> {
  await waitFor(
    () =>
      pair
        .coordinator({ who: 'second' })
        .recover('catalog')
        .catch(() => false),
    { timeoutMs: 60_000, what: 'the switch to be recovered' },
  );
}
