// What gates ask for: shadow samples that facades counted, the state of flows that sync published,
// the outcome of verify runs. Writers add, the coordinator reads. One object over the files that know
// how each of them is stored.
import type { Knex } from 'knex';
import * as answers from './answers.ts';
import type { Capability } from './definition.ts';
import type { Direction } from './domain/flow.ts';
import type { Place } from './domain/rollout.ts';
import * as flows from './flow-reports.ts';
import * as judged from './judged-answers.ts';
import * as shadow from './shadow-counts.ts';
import * as verify from './verify-outcomes.ts';

export class Evidence {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** The control database's clock, the only one that watermarks are in. */
  async now(): Promise<Date> {
    const { rows } = await this.#db.raw<{ rows: { now: Date }[] }>(
      'SELECT clock_timestamp() AS now',
    );
    return rows[0]?.now ?? new Date();
  }

  /** Adds counts; those of a shadow phase before the present one are left out. */
  addShadow(
    counts: readonly shadow.ShadowCounts[],
    mismatches: readonly shadow.ShadowMismatch[],
  ): Promise<void> {
    return shadow.addShadow(this.#db, counts, mismatches);
  }

  shadow(
    capability: string,
  ): Promise<{ samples: shadow.ShadowSample[]; mismatches: shadow.ShadowGroup[] }> {
    return shadow.shadow(this.#db, capability);
  }

  /** Forgets what shadow traffic told before the state had this version. */
  clearShadow(capability: string, version: number): Promise<void> {
    return shadow.clearShadow(this.#db, capability, version);
  }

  /** Forgets how the paths answered before the state had this version. */
  clearAnswers(capability: string, version: number): Promise<void> {
    return answers.clearAnswers(this.#db, capability, version);
  }

  /** Adds what a facade counted of both paths' answers. */
  addAnswers(counts: readonly answers.AnswerCounts[]): Promise<void> {
    return answers.addAnswers(this.#db, counts);
  }

  /** What both paths have answered in a step of a rollout, which began with this version. */
  stepAnswers(
    capability: string,
    definition: Pick<Capability, 'canary'>,
    at: Place,
    from: number,
  ): Promise<judged.StepAnswers> {
    return judged.stepAnswers(this.#db, capability, definition, at, from);
  }

  /** What a move is judged by. */
  judgedAnswers(
    capability: string,
    definition: Pick<Capability, 'canary' | 'rollout'>,
  ): Promise<judged.JudgedAnswers> {
    return judged.judgedAnswers(this.#db, capability, definition);
  }

  /** Forgets answers that no gate asks for any more. */
  pruneAnswers(capability: string): Promise<void> {
    return answers.pruneAnswers(this.#db, capability);
  }

  reportFlow(report: flows.FlowReport): Promise<void> {
    return flows.reportFlow(this.#db, report);
  }

  /** What the source keeps for a flow; nothing where the flow has not reported yet. */
  reportRetained(capability: string, direction: Direction, bytes: number): Promise<void> {
    return flows.reportRetained(this.#db, capability, direction, bytes);
  }

  dropFlow(capability: string, direction: Direction): Promise<void> {
    return flows.dropFlow(this.#db, capability, direction);
  }

  flows(capability: string): Promise<flows.FlowLine[]> {
    return flows.flows(this.#db, capability);
  }

  /** The control database's clock and every flow's watermark, in one look. */
  watermarks(): Promise<{ readonly now: Date; readonly flows: readonly flows.FlowWatermark[] }> {
    return flows.watermarks(this.#db);
  }

  addVerify(outcome: verify.VerifyOutcome): Promise<void> {
    return verify.addVerify(this.#db, outcome);
  }

  /** The newest verify run of a capability; with `sinceSwitch`, only one that began to count after it. */
  lastVerify(capability: string, sinceSwitch = false): Promise<verify.VerifyLine | undefined> {
    return verify.lastVerify(this.#db, capability, sinceSwitch);
  }
}
