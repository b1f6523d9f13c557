// Writes folded changes into the target, inside the one transaction of a batch: multi-row statements
// in foreign-key order, or one change at a time where a key violation is to be narrowed down. While
// tables are being copied, a row that is refused, or known only in part, is put on the list of those
// to read again; otherwise a refusal is the caller's.
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Chunk } from './chunk.ts';
import { Contest } from './contest.ts';
import type { RowName } from './copy-records.ts';
import type { RowChange } from './domain/change.ts';
import type { RowOperation, TargetTable } from './domain/target-table.ts';
import type { Mode } from './domain/mapping.ts';
import { isHalf, missing, withoutReferences, type Rows } from './domain/partial-rows.ts';
import { Parts } from './parts.ts';
import {
  copyStatement,
  deleteStatement,
  mayCopy,
  writeStatements,
  type Statement,
} from './domain/statements.ts';
import { moveStatement } from './domain/way-statements.ts';
import { ForeignRowError, isConstraintViolation, isKeyViolation, isRefusal } from './refusal.ts';
import type { Checkpoint } from './target.ts';
import type { BatchContext } from './batch-context.ts';

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
  #begun = false;
  /** How many savepoints lie inside each other. */
  #depth = 0;
  readonly parts: Parts;
  /** Rows that were in flight at the service when the owner's stream spoke of them. */
  overtaken = 0;

  constructor(context: BatchContext) {
    this.#context = context;
    this.parts = new Parts(context);
  }

  /** `first` is a statement that follows it at once, in the same round trip. */
  async begin(first?: string): Promise<void> {
    const { client } = this.#context.target;
    const statements = [...(this.#begun ? [] : ['BEGIN']), ...(first === undefined ? [] : [first])];
    this.#begun = true;
    if (statements.length > 0) await client.query(statements.join('; '));
  }

  /** With `soon`, the server answers before the commit is on its disk; a later one that is not brings it there. */
  async commit(
    before: Checkpoint,
    after: Checkpoint,
    { soon, commitMs }: { readonly soon: boolean; readonly commitMs: number },
  ): Promise<void> {
    const { target } = this.#context;
    await this.begin();
    await this.parts.settle();
    if (soon) await target.client.query('SET LOCAL synchronous_commit = off');
    await target.advance(before, after);
    await target.commit({ commitLsn: after.position.commitLsn, commitMs });
  }

  async rollback(): Promise<void> {
    if (this.#begun) await this.#context.target.client.query('ROLLBACK').catch(() => undefined);
  }

  /** Everything that has been folded since the last time. */
  async flush(mode: Mode): Promise<void> {
    const { coalescer } = this.#context.modes[mode];
    if (coalescer.size > 0) await this.write(mode, coalescer.take());
  }

  /** Deletes children first, then writes parents first. With a contest, what it is about is given up first. */
  async write(mode: Mode, rows: Rows, contest?: Contest): Promise<void> {
    let own = rows;
    if (mode === 'sharing owner') {
      await this.begin();
      const grounded = await this.#context.flights.grounded(rows);
      this.overtaken += grounded.overtaken;
      own = grounded.rows;
    }
    await contest?.clear(own);
    return this.prepare(mode, own)();
  }

  /** The same in two parts: the statements are made at once, and run when the function is called. */
  prepare(mode: Mode, rows: Rows): () => Promise<void> {
    const { targets } = this.#context.modes[mode];
    const deletes = [...targets].reverse().map((target) => {
      const operations = rows.get(target) ?? [];
      return {
        target,
        // While both sides write, a row may be in flight under either key.
        move: mode === 'owner' ? moveStatement(target, operations) : undefined,
        statement: deleteStatement(target, operations),
        halves: operations.filter(isHalf),
      };
    });
    const writes = targets.map((target) =>
      this.#prepareTarget(mode, target, rows.get(target) ?? []),
    );
    return async () => {
      await this.begin();
      for (const { target, move, statement, halves } of deletes) {
        // What still points to the old key may keep it; then the row goes, and comes anew.
        if (move) await this.#tolerate(() => this.#execute(target, move), isKeyViolation, false);
        if (statement) await this.#execute(target, statement);
        if (halves.length > 0) await this.#incomplete(mode, halves);
      }
      for (const write of writes) await write?.();
    };
  }

  /**
   * Rows that are all new are copied in. What a copy refuses has had no effect, and goes the other way,
   * which says what is wrong or finds nothing wrong.
   */
  #prepareTarget(
    mode: Mode,
    target: TargetTable,
    operations: readonly RowOperation[],
  ): (() => Promise<void>) | undefined {
    if (operations.length === 0) return undefined;
    const { target: session } = this.#context;
    if (!session.mayCopy(target.name) || !mayCopy(operations)) {
      const statements = writeStatements(target, operations);
      return () => session.into(target, () => this.#run(mode, target, statements));
    }
    const copy = copyStatement(target, operations);
    const write = async (): Promise<void> => {
      if (!(await session.copy(target.name, copy)))
        await this.#run(mode, target, writeStatements(target, operations));
    };
    return () => session.into(target, write);
  }

  async #execute(into: TargetTable, statement: Statement): Promise<void> {
    const { target } = this.#context;
    await target.into(into, () => target.execute(statement));
  }

  async #run(mode: Mode, target: TargetTable, statements: readonly Statement[]): Promise<void> {
    const { target: session } = this.#context;
    for (const statement of statements) {
      if (statement.kind === 'upsert' && !statement.otherwise) {
        await this.#put(target, statement);
        continue;
      }
      const { count, returned } = await session.execute(statement);
      if (count >= statement.rows.length) continue;
      if (statement.otherwise) {
        // A row that should be there is not: it is put in, and the others are left alone.
        const { there, put } = statement.otherwise;
        const found = await session.execute(there);
        await this.#put(target, put(missing(target, statement.rows, found.returned)));
      } else if (statement.kind === 'update')
        await this.#incomplete(
          mode,
          missing(target, statement.rows, returned).filter((row) => !row.optional),
        );
    }
  }

  /** Throws ForeignRowError when a row that is not ours has the key of one that is put in. */
  async #put(target: TargetTable, statement: Statement): Promise<void> {
    const { count } = await this.#context.target.execute(statement);
    if (target.guard.length > 0 && target.columns.length > 0 && count < statement.rows.length)
      throw new ForeignRowError(formatTable(target.name), statement.rows);
  }

  /** One change of an in-order replay. While tables are being copied, its parent may be on the way. */
  async flushOne(mode: Mode): Promise<void> {
    const rows = this.#context.modes[mode].coalescer.take();
    if (!this.#mayCome(mode)) return this.write(mode, rows);
    const refused = await this.#tolerate(() => this.write(mode, rows), isKeyViolation, true);
    if (refused !== undefined) await this.#later(mode, rows);
  }

  /**
   * One change by itself; what refuses it is given back, and it has had no effect then. With `now`,
   * deferred constraints are looked at before the next one.
   */
  async attempt(mode: Mode, change: RowChange, now: boolean, isOne = isRefusal): Promise<unknown> {
    const { coalescer } = this.#context.modes[mode];
    let rows: Rows | undefined;
    const refused = await this.#tolerate(
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
      const refused = await this.#tolerate(
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
    let why = await this.#tolerate(all, isOne, true);
    while (await contest.note(why)) why = await this.#tolerate(all, isOne, true);
    if (why === undefined) return [];
    const refused = [];
    for (const change of changes) {
      const error = await this.attempt(mode, change, true);
      if (error !== undefined) refused.push({ change, error });
    }
    return refused;
  }

  /** Checks what is deferred. Throws what it finds. */
  async checkDeferred(): Promise<void> {
    if (this.#begun) await this.#context.target.client.query('SET CONSTRAINTS ALL IMMEDIATE');
  }

  /**
   * Runs `work` so that it has all its effect or none; gives the refusal. Deferred constraints are looked
   * at `now`, before it counts, or later.
   */
  whole(
    work: () => Promise<void>,
    isOne: (error: unknown) => boolean,
    now = true,
  ): Promise<unknown> {
    return this.#tolerate(work, isOne, now);
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
    if (bare) await this.#tolerate(() => this.write(mode, bare), isConstraintViolation, true);
    await this.#readAgain([...rows.values()].flat().map(nameOf));
  }

  /** Runs `write` under a savepoint; gives the refusal, and leaves no effect, where it is one of the given kind. */
  async #tolerate(
    write: () => Promise<void>,
    isOne: (error: unknown) => boolean,
    now: boolean,
  ): Promise<unknown> {
    const { client } = this.#context.target;
    await this.begin();
    // Each has a name of its own: what an inner one does not tolerate the outer one undoes as a whole.
    const savepoint = `tolerated_${(this.#depth += 1)}`;
    try {
      await client.query(`SAVEPOINT ${savepoint}`);
      await write();
      if (now) await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      await client.query(`RELEASE SAVEPOINT ${savepoint}`);
      return undefined;
    } catch (error) {
      if (!isOne(error)) throw error;
      await client.query(`ROLLBACK TO SAVEPOINT ${savepoint}; RELEASE SAVEPOINT ${savepoint}`);
      return error;
    } finally {
      this.#depth -= 1;
    }
  }

  /** Rows that an update did not find: known only in part, they must be read again at the source. */
  async #incomplete(mode: Mode, rows: readonly RowOperation[]): Promise<void> {
    // What a guest's update does not find, the owner has deleted.
    if (mode !== 'guest') await this.#readAgain(rows.map(nameOf));
  }

  async #readAgain(rows: readonly RowName[]): Promise<void> {
    const { copying, target } = this.#context;
    if (rows.length > 0) await copying.readAgain(target.client, rows);
  }
}

function nameOf(row: RowOperation): RowName {
  return { table: formatTable(row.source), key: row.key };
}
