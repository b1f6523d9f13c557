// What a driver writes down when something has happened to a rollout: it has arrived somewhere, or a human
// is called. Each is the row's change and its line of the journal, in one transaction.
import { describePlace, samePlace } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import type { RolloutChange, RolloutRow, RolloutStore } from './rollout-store.ts';

export interface WordOptions {
  readonly rollouts: RolloutStore;
  /** Who drives, for the journal. */
  readonly who: string;
  /** Hears what goes on, for people. */
  readonly say?: ((line: string) => void) | undefined;
}

/** The capability is where the row does not have it: we have brought it there, or somebody else has. */
export async function arrived(
  { rollouts, who, say }: WordOptions,
  row: RolloutRow,
  state: CapabilityState,
): Promise<void> {
  const place = { phase: state.phase, weight: state.weight };
  const isOurs = row.going !== null && samePlace(state, row.going);
  const change: RolloutChange = {
    ...{ place, version: state.version, going: null, attempts: 0, watch: null, anew: true },
  };
  if (isOurs) {
    say?.(`in ${describePlace(state)}`);
    // What has kept a step waiting is over with it; what leads back is told to the end.
    const why = row.status === 'running' ? { why: '' } : {};
    await rollouts.change(
      row,
      { ...change, ...why },
      {
        event: row.status === 'rolling back' ? 'rollout step back' : 'rollout step',
        ...{ who, why: describePlace(state) },
      },
    );
    return;
  }
  const why = `moved by hand to ${describePlace(state)}`;
  await rollouts.change(
    row,
    { ...change, status: 'paused', why },
    { event: 'rollout paused', who, why },
  );
}

/** It stands still until a human says how it goes on; red still leads back. */
export async function callHuman(
  { rollouts, who }: WordOptions,
  row: RolloutRow,
  why: string,
): Promise<void> {
  await rollouts.change(
    row,
    { status: 'paused', why, going: null },
    { event: 'rollout paused', who, why },
  );
}

export function describeRow(row: RolloutRow): string {
  const why = row.why === '' ? '' : `: ${row.why}`;
  return `${row.status} in ${describePlace(row)}${why}`;
}
