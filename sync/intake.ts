// What becomes of the changes of rows that a batch takes in: passed over, folded and written beside the
// next ones, judged, written by themselves, or parked. Of what comes between them, a chunk or a truncate
// has its place in their order.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BanyanError } from '../core/errors.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { formatLsn } from '../core/postgres/lsn.ts';
import type { Answers } from './answers.ts';
import type { BatchContext, Care, ModePlan } from './batch-context.ts';
import type { Mark } from './chunk.ts';
import { writeChunk } from './chunk-writing.ts';
import type { Change, Piece, Relation, RowChange } from './domain/change.ts';
import { MappingError, type Mode } from './domain/mapping.ts';
import { emptyTables } from './emptying.ts';
import type { Judge } from './judge.ts';
import { refusalOf } from './refusal.ts';
import type { Writer } from './writer.ts';

/** Changes that are written while the next ones are folded. */
const FLUSH_CHANGES = 2_500;
const FLUSH_BYTES = 2 * 1_048_576;
/** Changes that are folded in one turn of the event loop. */
const TURN_CHANGES = 500;

export interface IntakeParts {
  readonly context: BatchContext;
  readonly writer: Writer;
  readonly judge: Judge;
  readonly answers: Answers;
  readonly care: Care;
}

export class Intake {
  /** What the source owns where the stream stands. */
  mode: Mode;
  /** There is something to write. */
  dirty = false;
  /** How many changes were to be written, or are parked. */
  changes = 0;
  readonly #context: BatchContext;
  readonly #writer: Writer;
  readonly #judge: Judge;
  readonly #answers: Answers;
  readonly #care: Care;
  #writing: Promise<void> = Promise.resolve();

  constructor({ context, writer, judge, answers, care }: IntakeParts, mode: Mode) {
    this.#context = context;
    this.#writer = writer;
    this.#judge = judge;
    this.#answers = answers;
    this.#care = care;
    this.mode = mode;
  }

  /** What of a change is to be written now: it concerns us, is no echo, and nothing of its row is parked. */
  wanted(given: RowChange, echo: boolean, piece: Piece, seq: number): RowChange | undefined {
    let change = given;
    const { copying, parking } = this.#context;
    const { coalescer } = this.#mode;
    const { relation } = change;
    if (!coalescer.concerns(relation)) {
      this.#assertKnown(relation);
      return undefined;
    }
    const table = coalescer.labelOf(relation);
    if (copying.watching)
      for (const image of ['old', 'new'] as const) {
        const key = coalescer.keyOf(change, image);
        if (key !== undefined) copying.touched(table, key);
      }
    if (echo) return undefined;
    const waits = !parking.empty && parking.holds(table, coalescer.rowsOf(change));
    // Before a table is copied, only that a row is gone counts: also from where it was, or from those that belong.
    // But a row of which something is parked becomes what its letters lead to, whatever the copy reads.
    if (change.kind !== 'delete' && !waits && !copying.streams(table)) {
      const gone = coalescer.leaves(change);
      if (!gone) return undefined;
      change = { kind: 'delete', relation, before: gone };
    }
    this.changes += 1;
    this.dirty = true;
    this.#writer.parts.meet(this.mode, change);
    if (!waits) return change;
    this.#park(change, piece, seq, null);
    return undefined;
  }

  /** A change that is to be written now: folded, or judged, or by itself. Most are folded, and done. */
  take(change: RowChange, piece: Piece, seq: number): Promise<void> | undefined {
    const { mode } = this;
    if (mode === 'sharing guest') return this.#weigh(change, piece, seq);
    if (this.#care !== 'folded') return this.#alone(change, piece, seq);
    const { coalescer } = this.#mode;
    if (coalescer.tangles(change)) return this.#behind(change);
    coalescer.add(change);
    const { size } = coalescer;
    if (size >= flushAt(piece))
      return mode === 'sharing owner' ? this.flush() : this.#flushBeside();
    // The server's answers and what the stream brings are not to wait for the whole fold.
    return size % TURN_CHANGES === 0 ? nextTurn() : undefined;
  }

  /** Rows of these tables are gone, all of them. */
  async truncate(
    { relations }: Change & { readonly kind: 'truncate' },
    echo: boolean,
  ): Promise<void> {
    for (const relation of relations) this.#assertKnown(relation);
    if (echo) return;
    const { coalescer } = this.#mode;
    const hit = relations.filter((relation) => coalescer.concerns(relation)).map(formatTable);
    if (hit.length === 0) return;
    const { plan, copying } = this.#context;
    const held = hit.filter((table) => plan.untruncated.has(table));
    if (held.length > 0) throw truncateStops(held);
    for (const table of hit) copying.truncated(table);
    this.dirty = true;
    await this.flush();
    await emptyTables(this.#context, this.#writer, this.mode, hit);
    await this.#context.parking.truncated(this.#context.target.client, hit);
  }

  /** The rows of a chunk go in where the stream stands at its high mark. */
  async chunk(mark: Mark): Promise<void> {
    const chunk = this.#context.copying.high(mark);
    if (!chunk) return;
    await this.flush();
    this.dirty = true;
    await writeChunk(this.#context, this.#writer, chunk, this.mode, this.#care);
  }

  /** Everything folded so far is in the target's transaction when this resolves. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#answers.land();
    await this.#writer.flush(this.mode);
  }

  /** What is being written has had its effect, or none. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  get #mode(): ModePlan {
    return this.#context.modes[this.mode];
  }

  /** Folds a change in when what has been folded before it is written. */
  async #behind(change: RowChange): Promise<void> {
    await this.flush();
    this.#mode.coalescer.add(change);
  }

  /** Writes one change by itself, or parks it. */
  async #alone(change: RowChange, piece: Piece, seq: number): Promise<void> {
    const { mode } = this;
    await this.#answers.land();
    if (this.#care === 'in order') {
      this.#mode.coalescer.add(change);
      await this.#writer.flushOne(mode);
      return;
    }
    const error = await this.#writer.attempt(mode, change, this.#care === 'parking strictly');
    if (error !== undefined) this.#park(change, piece, seq, error);
  }

  /** The owner judges a change of the service; what is no conflict and still refused is parked. */
  async #weigh(change: RowChange, piece: Piece, seq: number): Promise<void> {
    const { commitLsn, commitMs } = piece.head;
    const position = `${formatLsn(commitLsn)}/${seq}`;
    const error = await this.#judge.change(change, { commitMs, position });
    if (error !== undefined) this.#park(change, piece, seq, error);
  }

  #park(change: RowChange, { head }: Piece, seq: number, error: unknown): void {
    const { coalescer } = this.#mode;
    this.#context.parking.stage({
      table: coalescer.labelOf(change.relation),
      keys: coalescer.rowsOf(change),
      change,
      mode: this.mode,
      position: `${formatLsn(head.commitLsn)}/${seq}`,
      commitMs: head.commitMs,
      error: error === null ? null : refusalOf(error),
    });
  }

  /** The publication holds mapped tables only: another name is a table that was renamed. */
  #assertKnown(relation: Relation): void {
    if (this.#context.modes.owner.coalescer.concerns(relation)) return;
    throw new MappingError(
      `changes of table ${formatTable(relation)} arrive, which the mapping does not name: was a table renamed? If so, roll the capability back to monolith and start its sync anew`,
    );
  }

  /** Sends what has been folded, and folds on while the server works on it. */
  async #flushBeside(): Promise<void> {
    const write = this.#writer.prepare(this.mode, this.#mode.coalescer.take());
    const before = this.#writing;
    this.#writing = before.then(write);
    // Whoever awaits it next hears of its error.
    this.#writing.catch(() => undefined);
    // One is being written, one waits: more would only take memory.
    await before;
  }
}

function truncateStops(tables: readonly string[]): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `${tables.join(', ')} was truncated at the source, and the mapping says truncate: 'stop'`,
    {
      hint: "Nothing was emptied at the target. Where it was meant, write truncate: 'apply' and start sync again; where it was not, put the rows back at the source before that.",
    },
  );
}

/** How many changes are folded before they are written. */
function flushAt({ size, bytes }: Piece): number {
  return Math.min(FLUSH_CHANGES, Math.ceil((FLUSH_BYTES * size) / Math.max(1, bytes)));
}
