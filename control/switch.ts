// Moving the right to write from one side to the other:
//   check → hold → fence (+ barrier) → drain → sequences → flip → unfence the new owner → release
//
// Before the flip everything can be undone, and held writes go to the old owner; after it there is
// only forward. Each step is journaled once it is done, and guarded by the epoch in the database it
// touches. Interrupted anywhere, `recoverSwitch` undoes or finishes it.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { isConnectionError } from '../core/postgres/connect.ts';
import type { PlannedMove } from './domain/move.ts';
import type { CapabilityState } from './domain/state.ts';
import type { SwitchRecord } from './switch-log.ts';
import { undoWriteCanary } from './write-canary.ts';
import type { SwitchContext, SwitchOutcome } from './switch-progress.ts';
import { SwitchRun } from './switch-run.ts';

/** Walks the whole switch. Throws SWITCH_UNDONE when it had to be taken back, INTERRUPTED when it was to be. */
export async function runSwitch(
  context: SwitchContext,
  state: CapabilityState,
  move: PlannedMove,
): Promise<SwitchOutcome> {
  const run = new SwitchRun(context, state, move);
  const heed = context.interrupts?.(() => {
    run.interrupt();
  });
  try {
    return await walked(run);
  } finally {
    heed?.();
  }
}

async function walked(run: SwitchRun): Promise<SwitchOutcome> {
  try {
    return await run.forward();
  } catch (error) {
    if (run.flipped) throw cutShort(run, error);
    try {
      if (await run.flippedUnseen()) return await run.finish();
      await run.undo(messageOf(error));
    } catch (second) {
      throw cutShort(run, second);
    }
    if (isBanyanError(error, 'INTERRUPTED')) throw error;
    throw new BanyanError(
      'SWITCH_UNDONE',
      `the switch was taken back before its flip: ${messageOf(error)}`,
      {
        hint:
          error instanceof BanyanError
            ? error.hint
            : 'Writes go to the old owner as before; see the journal, then try again.',
        cause: error,
      },
    );
  }
}

/** Undoes or finishes a switch whose coordinator died. Raises the epoch first: the old one can do no harm. */
export async function recoverSwitch(
  context: SwitchContext,
  state: CapabilityState,
  record: SwitchRecord,
): Promise<CapabilityState> {
  const entry = {
    who: context.who,
    event: 'recover',
    why: 'the coordinator of a switch died',
    evidence: { switch: record.id },
  };
  if (record.shared) return undoWriteCanary(context, state, record, 'its coordinator died');
  const raised = await context.store.change(state, { epoch: state.epoch + 1 }, entry);
  const run = new SwitchRun(
    context,
    raised,
    { to: record.to, weight: record.weight, entry },
    record,
  );
  if (record.status === 'flipped') return (await run.finish()).state;
  return run.undo('its coordinator died');
}

/** A database that went away in the middle: what becomes of the switch, and by whom. */
function cutShort({ flipped }: SwitchRun, error: unknown): unknown {
  if (!isConnectionError(error)) return error;
  return new BanyanError(
    'DATABASE_UNREACHABLE',
    `a database went away in the middle of the switch: ${messageOf(error)}`,
    {
      hint: `Once it is back the switch is ${flipped ? 'finished' : 'taken back'} by itself where \`banyan sync\` runs; or give the command again.`,
      cause: error,
    },
  );
}
