// Into a write canary: both sides open, one after the other, and only then cohorts are sent to the
// service; nobody is held. Journaled as a switch, so that one which was cut short is taken back by
// whoever comes next: facades have sent nobody there, what others wrote directly is drained.
import { readSchema, type LiveSchema } from '../core/postgres/catalog.ts';
import { BanyanError, messageOf } from '../core/errors.ts';
import { parseTableName } from '../core/postgres/identifiers.ts';
import { apart, mayCollide, numberingOf } from './domain/key-space.ts';
import { mappedTable } from './domain/mapped-table.ts';
import type { PlannedMove } from './domain/move.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import type { Participant } from './participant.ts';
import { enterSharing, isShared, leaveSharing, type Shared } from './sharing.ts';
import type { SwitchRecord } from './switch-log.ts';
import { barriersAt, SwitchProgress, type SwitchContext } from './switch-progress.ts';

/** Opens it at the move's weight. Throws PREFLIGHT_FAILED, SWITCH_UNDONE. */
export async function enterWriteCanary(
  context: SwitchContext,
  state: CapabilityState,
  { weight, entry }: PlannedMove,
): Promise<CapabilityState> {
  const { store, switches, ends, definition } = context;
  if (ends) await assertApart(definition, ends);
  const progress = new SwitchProgress(context, state, entry, undefined);
  const record = await progress.begin(state.phase, weight, true);
  const { state: raised } = progress;
  const { capability } = raised;
  try {
    await progress.done('checked');
    if (ends) await enterSharing({ ends, definition, epoch: raised.epoch });
    await progress.done('shared', {
      ...(ends && { barriers: barriersAt(ends.to.source, ends.to.target) }),
    });
    const after = await store.change(
      raised,
      { shared: true, weight },
      { ...entry, event: 'share' },
      (db) => switches.setStatus(record, 'done', db),
    );
    await context.onStep?.('flipped');
    return after;
  } catch (error) {
    const current = await store.settled(capability);
    // The answer to the commit was lost.
    if (current.shared && current.epoch === raised.epoch) return current;
    if (current.epoch !== raised.epoch)
      throw new BanyanError(
        'STALE_COORDINATOR',
        `another coordinator (epoch ${current.epoch}) has taken over from this one (epoch ${raised.epoch}): ${messageOf(error)}`,
        { hint: 'Look at `banyan status`.', cause: error },
      );
    await undoWriteCanary(context, current, record, messageOf(error));
    throw new BanyanError('SWITCH_UNDONE', `the write canary was not begun: ${messageOf(error)}`, {
      hint:
        error instanceof BanyanError
          ? error.hint
          : 'Writes go to the monolith as before; see the journal, then try again.',
      cause: error,
    });
  }
}

/** Takes back one that was not begun. Throws MOVE_IN_PROGRESS when another has taken over. */
export async function undoWriteCanary(
  { store, switches, ends, definition, who, log }: SwitchContext,
  state: CapabilityState,
  record: SwitchRecord,
  why: string,
): Promise<CapabilityState> {
  const { capability } = state;
  log.warn('a write canary is taken back', { capability, why });
  const entry = { who, event: 'undo', why, evidence: { switch: record.id } };
  // What was opened at one epoch is closed at another, so that its barrier is not taken for the other's.
  const raised = await store.change(state, { epoch: state.epoch + 1 }, entry);
  if (ends) {
    const { source: monolith, target: service } = ends.to;
    for (const side of [monolith, service])
      await side.guarded(raised.epoch, () => Promise.resolve());
    // It is the first to open, and the last to close.
    if (await isShared(monolith)) await leaveSharing({ ends, definition, epoch: raised.epoch });
  }
  const { epoch, version } = raised;
  await switches.step(record, 'undone', epoch, { why, version });
  await switches.setStatus(record, 'undone');
  return raised;
}

/** Throws PREFLIGHT_FAILED where both sides would give two rows the same number. */
async function assertApart({ tables }: Shared, { to }: FlowPair): Promise<void> {
  const schemas = {
    monolith: await schemaOf(
      to.source,
      tables.flatMap((one) => one.monolith),
    ),
    service: await schemaOf(
      to.target,
      tables.flatMap((one) => one.service),
    ),
  };
  for (const map of tables.map(mappedTable)) {
    const found = numberingOf(map, schemas);
    if (!found?.monolith || !found.service || !mayCollide(found.monolith, found.service)) continue;
    throw new BanyanError(
      'PREFLIGHT_FAILED',
      `both sides number the rows of ${map.monolith[0] ?? ''} by sequences that give the same number to two rows: ${found.monolith.name} and ${found.service.name}`,
      { hint: apart(found.monolith, found.service) },
    );
  }
}

function schemaOf({ client }: Participant, tables: readonly string[]): Promise<LiveSchema> {
  return readSchema(client, tables.map(parseTableName));
}
