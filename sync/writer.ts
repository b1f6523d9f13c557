// Writes folded changes into the target, inside the one transaction of a batch: all together
// (row-writer.ts), or one change at a time where a key violation is to be narrowed down. While tables are
// being copied, a row that is refused is put on the list of those to read again; otherwise a refusal is
// the caller's.
import type { BatchContext } from './batch-context.ts';
import type { Chunk } from './chunk.ts';
import { Contest } from './contest.ts';
import type { RowChange } from './domain/change.ts';
import type { Mode } from './domain/mapping.ts';
import { withoutReferences, type Rows } from './domain/partial-rows.ts';
import { Parts } from './parts.ts';
import { isConstraintViolation, isKeyViolation, isRefusal } from './refusal.ts';
import { nameOf, RowWriter } from './row-writer.ts';
import type { Checkpoint } from './target.ts';
import { TargetTransaction } from './target-transaction.ts';

export interface Refused {
  readonly change: RowChange;
  readonly error: unknown;
}

/** The server would not have rows as a copy; that says nothing of the rows. */
class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

export class Writer {
  readonly #context: BatchContext;
  readonly #rows: RowWriter;
  readonly transaction: TargetTransaction;
  readonly parts: Parts;

  constructor(context: BatchContext) {
    this.#context = context;
    this.transaction = new TargetTransaction(context.target.client);
    this.#rows = new RowWriter(context, this.transaction);
    this.parts = new Parts(context);
  }

  /** Rows that were in flight at the service when the owner's stream spoke of them. */
  get overtaken(): number {
    return this.#rows.overtaken;
  }

  /** With `soon`, the server answers before the commit is on its disk; a later one that is not brings it there. */
  async commit(
    before: Checkpoint,
    after: Checkpoint,
    { soon, commitMs }: { readonly soon: boolean; readonly commitMs: number },
  ): Promise<void> {
    const { target } = this.#context;
    await this.transaction.begin();
    await this.parts.settle();
    if (soon) await target.client.query('SET LOCAL synchronous_commit = off');
    await target.advance(before, after);
    await target.commit({ commitLsn: after.position.commitLsn, commitMs });
  }

  /** Everything that has been folded since the last time. */
  async flush(mode: Mode): Promise<void> {
    const { coalescer } = this.#context.modes[mode];
    if (coalescer.size > 0) await this.write(mode, coalescer.take());
  }

  /** Rows all at once. With a contest, what it is about is given up first. */
  write(mode: Mode, rows: Rows, contest?: Contest): Promise<void> {
    return this.#rows.write(mode, rows, contest);
  }

  /** The same in two parts: the statements are made at once, and run when the function is called. */
  prepare(mode: Mode, rows: Rows): () => Promise<void> {
    return this.#rows.prepare(mode, rows);
  }

  /** One change of an in-order replay. While tables are being copied, its parent may be on the way. */
  async flushOne(mode: Mode): Promise<void> {
    const rows = this.#context.modes[mode].coalescer.take();
    if (!this.#mayCome(mode)) return this.write(mode, rows);
    const refused = await this.transaction.whole(
      () => this.write(mode, rows),
      isKeyViolation,
      true,
    );
    if (refused !== undefined) await this.#later(mode, rows);
  }

  /**
   * One change by itself; what refuses it is given back, and it has had no effect then. With `now`,
   * deferred constraints are looked at before the next one.
   */
  async attempt(mode: Mode, change: RowChange, now: boolean, isOne = isRefusal): Promise<unknown> {
    const { coalescer } = this.#context.modes[mode];
    let rows: Rows | undefined;
    const refused = await this.transaction.whole(
      () => {
        try {
          coalescer.add(change);
        } finally {
          rows = coalescer.take();
        }
        return this.write(mode, rows);
      },
      isOne,
      now || this.#mayCome(mode),
    );
    if (refused === undefined || !rows || !this.#mayCome(mode) || !isKeyViolation(refused))
      return refused;
    const named = [...rows.values()].flat().map(nameOf);
    const { copying, flights } = this.#context;
    const may =
      this.#context.plan.scattered === true || (mode === 'sharing owner' && (await flights.any()));
    if (!may && !named.every((row) => copying.patientWith(row))) return refused;
    await this.#later(mode, rows);
    return undefined;
  }

  /** A chunk copied in, where its targets have none of its rows; or else like any rows. */
  async chunk(mode: Mode, chunk: Chunk, isOne: (error: unknown) => boolean): Promise<Refused[]> {
    const { target: session } = this.#context;
    // As the source owns it, a row is a whole row of the target.
    const copies = mode === 'owner' ? chunk.copies : undefined;
    if (copies?.every(({ table }) => session.mayCopy(table))) {
      const copy = async (): Promise<void> => {
        for (const one of copies)
          if (!(await session.into(one, () => session.copy(one.table, one))))
            throw new CopyRefused();
      };
      const refused = await this.transaction.whole(
        copy,
        (error) => error instanceof CopyRefused || isRefusal(error),
        true,
      );
      if (refused === undefined) return [];
    }
    return this.rows(mode, chunk.rows(), isOne);
  }

  /** Changes folded by themselves. Throws what the mapping has no answer for. */
  folded(mode: Mode, changes: readonly RowChange[]): Rows {
    const { coalescer } = this.#context.modes[mode];
    try {
      for (const change of changes) coalescer.add(change);
    } catch (error) {
      coalescer.take();
      throw error;
    }
    return coalescer.take();
  }

  /** Rows all at once, or one by one when one of them is refused in this way; gives those that are. */
  async rows(
    mode: Mode,
    changes: readonly RowChange[],
    isOne: (error: unknown) => boolean,
  ): Promise<Refused[]> {
    const contest = new Contest(this.#context.target);
    const all = (): Promise<void> => this.write(mode, this.folded(mode, changes), contest);
    let why = await this.transaction.whole(all, isOne, true);
    while (await contest.note(why)) why = await this.transaction.whole(all, isOne, true);
    if (why === undefined) return [];
    const refused = [];
    for (const change of changes) {
      const error = await this.attempt(mode, change, true);
      if (error !== undefined) refused.push({ change, error });
    }
    return refused;
  }

  /**
   * Whether what a row points to may still be on its way, or, while both sides write or each row has an
   * order of its own, a row that is in its way about to go.
   */
  #mayCome(mode: Mode): boolean {
    const { copying, plan } = this.#context;
    return (
      mode === 'sharing owner' || (mode === 'owner' && (copying.running || plan.scattered === true))
    );
  }

  /** Rows whose parent is not there yet are read again; those that point in a circle go in without that first. */
  async #later(mode: Mode, rows: Rows): Promise<void> {
    const bare = withoutReferences(rows);
    if (bare)
      await this.transaction.whole(() => this.write(mode, bare), isConstraintViolation, true);
    await this.#rows.readAgain([...rows.values()].flat());
  }
}
