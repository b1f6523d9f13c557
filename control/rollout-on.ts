// One step of a rollout's way on. What the coordinator refuses for a moment is tried again; gates that
// refuse are waited for as long as evidence may be missing at all; anything else is for a human.
import { isBanyanError, messageOf } from '../core/errors.ts';
import { isServerError } from '../core/postgres/connect.ts';
import type { Migration } from './definition.ts';
import type { Coordinator } from './coordinator.ts';
import { describePlace, samePlace, type Place } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import { arrived, callHuman, type WordOptions } from './rollout-word.ts';
import type { RolloutRow } from './rollout-store.ts';
import type { StateStore } from './store.ts';

export interface OnOptions extends WordOptions {
  readonly coordinator: Pick<Coordinator, 'move'>;
  readonly migration: Migration;
  readonly store: StateStore;
}

/** A move that was refused for a reason which may pass is made so often. */
const MOST_ATTEMPTS = 3;

export async function takeStepOn(
  options: OnOptions,
  row: RolloutRow,
  state: CapabilityState,
  to: Place,
): Promise<void> {
  const { coordinator, rollouts, store, say } = options;
  if (!(await rollouts.change(row, { going: to }))) return;
  say?.(`${describePlace(state)} → ${describePlace(to)}`);
  const weight = to.phase === 'canary' ? { weight: to.weight } : {};
  try {
    await coordinator.move({
      capability: row.capability,
      event: state.phase === to.phase ? 'weight' : 'advance',
      ...weight,
      to: to.phase,
      version: state.version,
      why: 'rollout',
    });
  } catch (error) {
    const now = await rollouts.read(row.capability);
    // What a human or a successor has decided meanwhile is not overwritten.
    if (now?.status !== 'running' || now.holder !== row.holder) return;
    // It may have been done all the same, and only what comes after it has failed.
    const there = await store.readOne(row.capability);
    if (samePlace(there, to)) await arrived(options, now, there);
    else await refused(options, now, error);
    return;
  }
  const now = await rollouts.read(row.capability);
  if (now) await arrived(options, now, await store.readOne(row.capability));
}

async function refused(options: OnOptions, row: RolloutRow, error: unknown): Promise<void> {
  const { rollouts, say, migration } = options;
  if (!isBanyanError(error) && !isServerError(error)) throw error;
  const { code, retryable } = isBanyanError(error) ? error : { code: undefined, retryable: true };
  if (code === 'MOVE_IN_PROGRESS') return;
  const why = messageOf(error);
  if (code === 'GATE_REFUSED') {
    const { waitMs = 0 } = migration.capabilities[row.capability]?.rollout ?? {};
    // However long the step has taken: a refusal may be over in a moment.
    const refusedAtMs = row.watch?.refusedAtMs ?? row.atMs;
    say?.(why);
    if (row.atMs - refusedAtMs > waitMs) await callHuman(options, row, why);
    else
      await rollouts.change(row, {
        ...{ going: null, why },
        ...(row.watch && { watch: { ...row.watch, refusedAtMs } }),
      });
    return;
  }
  const attempts = row.attempts + 1;
  if (retryable && attempts < MOST_ATTEMPTS) {
    await rollouts.change(row, { attempts });
    say?.(`tried ${attempts} times: ${why}`);
  } else await callHuman(options, row, why);
}
