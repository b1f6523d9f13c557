// How far a verification has come: for whoever watches, and for a later process that goes on with it.
import type {
  VerifyRun,
  VerifyRunState,
  VerifySuspectName,
  VerifyStepState,
} from '../control/verify-runs.ts';
import { Rate } from './domain/rate.ts';
import type { Finished, Walk } from './first-pass.ts';
import type { SourceTable } from './source.ts';
import type { Suspect } from './suspects.ts';

export interface VerifyProgress {
  /** First both sides are compared, then what looked different is looked at again. */
  readonly doing: 'compare' | 'settle';
  /** Rows of the monolith that have been compared. */
  readonly rows: number;
  /** 0 to 1, by the planner's guess of how many there are; null where it has none. */
  readonly share: number | null;
  readonly leftMs: number | null;
  /** Rows that look different so far. */
  readonly suspects: number;
}

export class Progress {
  readonly #walks: readonly Walk[];
  readonly #run: VerifyRun | undefined;
  readonly #onProgress: ((progress: VerifyProgress) => void) | undefined;
  readonly #states = new Map<string, VerifyStepState>();
  readonly #rate = new Rate();
  readonly #suspects: VerifySuspectName[] = [];
  #saved = 0;
  /** Of the walk under way, where it has not been kept yet. */
  #latest: VerifyStepState | undefined;
  #saving: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(
    walks: readonly Walk[],
    run: VerifyRun | undefined,
    before: VerifyRunState | undefined,
    onProgress: ((progress: VerifyProgress) => void) | undefined,
  ) {
    this.#walks = walks;
    this.#run = run;
    this.#onProgress = onProgress;
    for (const one of before?.suspects ?? []) this.#suspects.push(one);
    this.#saved = this.#suspects.length;
    for (const state of before?.steps ?? []) this.#states.set(state.step, state);
  }

  stateOf(walk: Walk): Pick<VerifyStepState, 'cursor' | 'done'> {
    return this.#states.get(walk.name) ?? { cursor: null, done: false };
  }

  /** Rows of the monolith that have been compared. */
  get rows(): number {
    return this.#sum((walk) => (walk.counts ? this.#rowsOf(walk) : 0));
  }

  /** 0 to 1; null without a guess. */
  get share(): number | null {
    const total = this.#total;
    const unknown = this.#walks.some(
      (walk) => walk.estimatedRows === 0 && this.#rowsOf(walk) > 0 && !this.stateOf(walk).done,
    );
    return total === 0 || unknown ? null : Math.min(1, this.#done / total);
  }

  finished(walk: Walk, { cursor, rows, suspects, last }: Finished): void {
    this.#latest = { step: walk.name, cursor, rows: this.#rowsOf(walk) + rows, done: last };
    this.#states.set(walk.name, this.#latest);
    for (const key of suspects) this.#suspects.push({ table: walk.table.label, key });
    this.#rate.add(rows, performance.now());
    this.#tell('compare');
    // Kept while the next range is compared.
    if (!this.#saving) {
      this.#saving = this.#saveLatest().finally(() => {
        this.#saving = undefined;
      });
      // Whoever saves next hears of its error.
      this.#saving.catch((error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      });
    }
    if (this.#failure) throw this.#failure;
  }

  /** Keeps what has been finished since the last time. */
  async save(): Promise<void> {
    await this.#saving?.catch(() => undefined);
    await this.#saveLatest();
  }

  async #saveLatest(): Promise<void> {
    const state = this.#latest;
    if (!state) return;
    const until = this.#suspects.length;
    await this.#run?.record(state, this.#suspects.slice(this.#saved, until));
    this.#saved = until;
    if (this.#latest === state) this.#latest = undefined;
  }

  /** All rows that looked different, those found before an interruption too. */
  suspects(tables: readonly SourceTable[]): Suspect[] {
    const byLabel = new Map(tables.map((table) => [table.label, table]));
    return this.#suspects.flatMap(({ table: label, key }) => {
      const table = byLabel.get(label);
      return table ? [{ table, key }] : [];
    });
  }

  settling(): void {
    this.#tell('settle');
  }

  #tell(doing: VerifyProgress['doing']): void {
    if (!this.#onProgress) return;
    const perSecond = this.#rate.perSecond(performance.now());
    const left = Math.max(0, this.#total - this.#done);
    this.#onProgress({
      doing,
      rows: this.rows,
      share: doing === 'settle' ? 1 : this.share,
      leftMs:
        doing === 'settle' || this.share === null || perSecond === null || perSecond === 0
          ? null
          : Math.round((left / perSecond) * 1_000),
      suspects: this.#suspects.length,
    });
  }

  get #done(): number {
    return this.#sum((walk) => this.#rowsOf(walk));
  }

  /** A walk that has ended had as many rows as it saw. */
  get #total(): number {
    return this.#sum((walk) =>
      this.stateOf(walk).done
        ? this.#rowsOf(walk)
        : Math.max(walk.estimatedRows, this.#rowsOf(walk)),
    );
  }

  #rowsOf(walk: Walk): number {
    return this.#states.get(walk.name)?.rows ?? 0;
  }

  #sum(of: (walk: Walk) => number): number {
    return this.#walks.reduce((sum, walk) => sum + of(walk), 0);
  }
}
