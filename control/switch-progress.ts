// What a switch under way knows and tells: the state as it stands, its record, and each step in the journal
// of switches once it is done. The next coordinator goes by that journal alone.
import type { Knex } from 'knex';
import { BanyanError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Phase } from './domain/phase.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import type { HoldLimits } from './facade-settings.ts';
import type { Participant } from './participant.ts';
import type { Replicas } from './replicas.ts';
import type { SequenceStep } from './sequences.ts';
import type { Shared } from './sharing.ts';
import type { JournalEntry, StateChange, StateStore } from './store.ts';
import type { SwitchLog, SwitchRecord } from './switch-log.ts';

export interface SwitchContext {
  readonly store: StateStore;
  readonly switches: SwitchLog;
  readonly replicas: Replicas;
  readonly definition: Shared;
  /** Which settings those are. */
  readonly definitionVersion: string;
  /** None for a capability without tables. */
  readonly ends: FlowPair | undefined;
  /** How long writers may be held, and for what. */
  readonly limits: HoldLimits;
  readonly who: string;
  readonly log: Logger;
  /** Called after each step has been done and journaled; tests die here. */
  readonly onStep?: (step: string) => void | Promise<void>;
  /**
   * Has `then` called when whoever gave the command wants it to end, until what it gives is called: a switch is
   * taken back then, as long as it can be.
   */
  readonly interrupts?: (then: () => void) => () => void;
}

/** Behind the others there is only forward. */
const UNDOABLE = new Set(['checked', 'held', 'drained back', 'fenced', 'drained', 'sequences']);

export interface SwitchOutcome {
  readonly state: CapabilityState;
  readonly evidence: {
    /** From the hold to the release, as the coordinator saw it. */
    readonly pauseMs: number;
    readonly attempts: number;
    readonly replicas: readonly string[];
    readonly leftBehind: readonly string[];
    readonly sequences: readonly SequenceStep[];
    readonly steps: readonly { readonly step: string; readonly ms: number }[];
  };
}

export class SwitchProgress {
  state: CapabilityState;
  record: SwitchRecord | undefined;
  readonly steps: { readonly step: string; readonly ms: number }[] = [];
  readonly #context: SwitchContext;
  readonly #entry: JournalEntry;
  readonly #started = performance.now();
  #isInterrupted = false;

  constructor(
    context: SwitchContext,
    state: CapabilityState,
    entry: JournalEntry,
    record: SwitchRecord | undefined,
  ) {
    this.#context = context;
    this.state = state;
    this.#entry = entry;
    this.record = record;
  }

  /** The switch begins: a new epoch and its record, in one commit. */
  async begin(to: Phase, weight: number, shared = false): Promise<SwitchRecord> {
    const { switches, definitionVersion: definition } = this.#context;
    const { capability, phase: from, epoch } = this.state;
    const records: SwitchRecord[] = [];
    await this.change({ epoch: epoch + 1 }, {}, async (db, journalId) => {
      const given = { capability, from, to, weight, shared, journalId, definition };
      records.push(await switches.begin(given, db));
    });
    const [record] = records;
    if (!record) throw new BanyanError('INTERNAL', 'the switch has no record');
    return (this.record = record);
  }

  /** Changes the state, and journals that. Throws MOVE_IN_PROGRESS when somebody else has changed it. */
  async change(
    change: StateChange,
    entry: Partial<JournalEntry>,
    within?: (db: Knex.Transaction, journalId: number) => Promise<void>,
  ): Promise<void> {
    this.state = await this.#context.store.change(
      this.state,
      change,
      { ...this.#entry, ...entry },
      within,
    );
  }

  interrupt(): void {
    this.#isInterrupted = true;
  }

  /** Throws INTERRUPTED. */
  assertWanted(): void {
    if (this.#isInterrupted)
      throw new BanyanError('INTERRUPTED', 'the switch was interrupted, and taken back', {
        hint: 'Writes go to the old owner as before.',
      });
  }

  /** Records a step that has been done. */
  async done(step: string, evidence: Record<string, unknown> = {}): Promise<void> {
    this.steps.push({ step, ms: Math.round(performance.now() - this.#started) });
    if (this.record)
      await this.#context.switches.step(this.record, step, this.state.epoch, evidence);
    await this.#context.onStep?.(step);
    if (UNDOABLE.has(step)) this.assertWanted();
  }
}

/** Where in a side's WAL its stream tells who writes from there on, by the direction of the flow that reads it. */
export function barriersAt(...sides: readonly Participant[]): Record<string, string | undefined> {
  return Object.fromEntries(
    sides.map(({ side, toldAt }) => [side === 'monolith' ? 'to' : 'back', toldAt]),
  );
}
