// The owner's rows as the judge sees them: under lock, compared with a change's images, and with the time
// at which they were written. What this very transaction has written has no time yet: of such a row it is
// known from before, and what is written over it is never older.
import { formatTable } from '../core/postgres/identifiers.ts';
import { rawRows } from '../core/postgres/connect.ts';
import type { BatchContext } from './batch-context.ts';
import type { Look } from './conflict-record.ts';
import type { Asked } from './domain/images.ts';
import { judgingTexts, type JudgingTexts } from './domain/judging.ts';
import { targetColumns, type Edge } from './domain/mapping.ts';
import { rowInTheWay, type InTheWay } from './row-in-the-way.ts';

export class OwnerRows {
  readonly #context: BatchContext;
  /** Whether the last writer wins. */
  readonly timed: boolean;
  /** When rows were written that this transaction has looked at, by name, Unix ms. */
  readonly #times = new Map<string, number>();
  #newestMs = 0;

  constructor(context: BatchContext) {
    this.#context = context;
    this.timed = context.plan.conflicts === 'last-writer-wins';
  }

  /** When the newest of the rows was written that were written over since, Unix ms. */
  get newestMs(): number {
    return this.#newestMs;
  }

  /**
   * Whether it counts how old the row was before a change of this edge: where the last writer wins and
   * others know parts of the row, whose changes are judged by themselves.
   */
  remembers(edge: Edge): boolean {
    return this.timed && this.isPartial(edge);
  }

  /** Whether several tables of the service make up the owner's row. */
  isPartial({ target }: Edge): boolean {
    const label = formatTable(target);
    const edges = this.#context.plan.edges['sharing guest'];
    return edges.filter((one) => formatTable(one.target) === label).length > 1;
  }

  async look(asked: Asked): Promise<Look> {
    const { edge, key, before, after } = asked;
    const nothing = targetColumns(edge).map(() => null);
    const { client } = this.#context.target;
    const [found] = await rawRows(client, this.textsOf(edge).look, [
      ...key,
      ...(before ?? nothing),
      ...(after ?? nothing),
    ]);
    if (!found) {
      const gone = asked.operation === 'delete' || (edge.driver && after === null);
      const writtenMs = this.timed ? await this.#deletedMs(edge, key) : null;
      return { present: false, asBefore: before === null, asAfter: gone, writtenMs, row: null };
    }
    const [asBefore, asAfter, written, ...values] = found;
    const shown = this.#shown(edge);
    return {
      present: true,
      asBefore: before !== null && asBefore === 't',
      asAfter: after !== null && asAfter === 't',
      writtenMs: this.#timeOf(asked, written),
      row: Object.fromEntries(shown.map((name, index) => [name, values[index] ?? null])),
    };
  }

  /** The row that has the unique value which refused a change. */
  inTheWay(asked: Asked, { row: own }: Look, refusal: unknown): Promise<InTheWay | undefined> {
    const { client } = this.#context.target;
    const shown = this.#shown(asked.edge);
    return rowInTheWay(refusal, { client, asked, own, shown, timed: this.timed });
  }

  /** A row that was looked at is written. */
  written(asked: Asked): void {
    if (!this.remembers(asked.edge)) return;
    this.#newestMs = Math.max(this.#newestMs, this.#times.get(nameOf(asked)) ?? 0);
  }

  textsOf(edge: Edge): JudgingTexts {
    let texts = TEXTS.get(edge);
    if (!texts) {
      const { edges } = this.#context.plan;
      const label = formatTable(edge.target);
      const parts = edges['sharing guest']
        .filter((one) => one !== edge && formatTable(one.target) === label)
        .flatMap(targetColumns);
      const judging = { edge, parts, shown: this.#shown(edge), timed: this.timed };
      TEXTS.set(edge, (texts = judgingTexts(judging)));
    }
    return texts;
  }

  /** Without a time it may be a row of this transaction's own. */
  #timeOf(asked: Asked, written: string | null | undefined): number | null {
    const name = nameOf(asked);
    if (written === null || written === undefined) return this.#times.get(name) ?? null;
    const ms = Number(written);
    if (this.remembers(asked.edge)) this.#times.set(name, ms);
    return ms;
  }

  /** A delete is as old as its commit, not as its statement. */
  async #deletedMs(edge: Edge, key: readonly string[]): Promise<number | null> {
    const { plan, target } = this.#context;
    const canonical = edge.key.map((pair, index) => `$${index + 3}::text::${pair.type}::text`);
    const [found] = await rawRows(
      target.client,
      `SELECT extract(epoch FROM coalesce(pg_xact_commit_timestamp(xmin), at)) * 1000 FROM banyan.tombstone
        WHERE capability = $1 AND owner_table = $2 AND key = ARRAY[${canonical.join(', ')}]`,
      [plan.capability, formatTable(edge.target), ...key],
    );
    return found?.[0] === null || found?.[0] === undefined ? null : Number(found[0]);
  }

  #shown({ target }: Edge): readonly string[] {
    return this.#context.plan.shown.get(formatTable(target)) ?? [];
  }
}

/** Edges are made anew with each plan. */
const TEXTS = new WeakMap<Edge, JudgingTexts>();

/** The owner's row that is asked about. */
export function nameOf({ edge, key }: Asked): string {
  return [formatTable(edge.target), ...key].join('\u0000');
}
