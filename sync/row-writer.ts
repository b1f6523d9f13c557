// Writes folded rows into the target's tables by multi-row statements: deletes children first, then
// writes parents first, or the other way round; rows that are all new are copied in. A row that an update does not find, or that
// is known only in part, is put on the list of those to read again. What is refused is the caller's.
import { formatTable } from '../core/postgres/identifiers.ts';
import type { BatchContext } from './batch-context.ts';
import type { Contest } from './contest.ts';
import type { RowName } from './copy-records.ts';
import { isOwners, type Mode } from './domain/mapping.ts';
import { becoming, isHalf, missing, type Rows } from './domain/partial-rows.ts';
import {
  copyStatement,
  deleteStatement,
  mayCopy,
  takenBy,
  writeStatements,
  type Statement,
} from './domain/statements.ts';
import type { RowOperation, TargetTable } from './domain/target-table.ts';
import { moveStatement } from './domain/way-statements.ts';
import { ForeignRowError, isKeyViolation } from './refusal.ts';
import { renew } from './renewal.ts';
import type { TargetTransaction } from './target-transaction.ts';

export class RowWriter {
  readonly #context: BatchContext;
  readonly #transaction: TargetTransaction;
  /** Rows that were in flight at the service when the owner's stream spoke of them. */
  overtaken = 0;

  constructor(context: BatchContext, transaction: TargetTransaction) {
    this.#context = context;
    this.#transaction = transaction;
  }

  /** Deletes children first, writes parents first. With a contest, what it is about is given up first. */
  async write(mode: Mode, rows: Rows, contest?: Contest): Promise<void> {
    let own = rows;
    if (mode === 'sharing owner') {
      await this.#transaction.begin();
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
    const { deletesLast } = this.#context.arrangement;
    // A row that would take others along becomes the new one where it is.
    const all = targets.map((target) => {
      const given = rows.get(target) ?? [];
      const renewed = target.taken.links.length > 0 ? given.filter((row) => row.replaced) : [];
      return { target, renewed, operations: renewed.length > 0 ? becoming(target, given) : given };
    });
    const deletes = [...all].reverse().map(({ target, renewed, operations }) => {
      const [early, late] = deletesLast
        ? [operations.filter((row) => row.replaced), operations.filter((row) => !row.replaced)]
        : [operations, []];
      return {
        ...{ target, renewed },
        move: moveStatement(target, operations),
        early: deleteStatement(target, early),
        late: deleteStatement(target, late),
        halves: operations.filter(isHalf),
      };
    });
    const writes = all.map(({ target, operations }) =>
      this.#prepareTarget(mode, target, operations),
    );
    return async () => {
      await this.#transaction.begin();
      for (const { target, renewed, move, early, halves } of deletes) {
        // What still points to the old key may keep it; then the row goes, and comes anew.
        if (move)
          await this.#transaction.whole(() => this.#execute(target, move), isKeyViolation, false);
        await renew(this.#context.target, target, renewed);
        if (early) await this.#delete(mode, target, early);
        if (halves.length > 0) await this.#incomplete(mode, halves);
      }
      for (const write of writes) await write?.();
      for (const { target, late } of deletes) if (late) await this.#delete(mode, target, late);
    };
  }

  /** Puts the rows of some operations on the list of those to read again at the source. */
  async readAgain(rows: readonly RowOperation[]): Promise<void> {
    const { copying, target } = this.#context;
    if (rows.length > 0) await copying.readAgain(target.client, rows.map(nameOf));
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
      const statements = this.#arranged(writeStatements(target, operations));
      return () => session.into(target, () => this.#run(mode, target, statements));
    }
    const copy = copyStatement(target, operations);
    const write = async (): Promise<void> => {
      if (!(await session.copy(target.name, copy)))
        await this.#run(mode, target, writeStatements(target, operations));
    };
    return () => session.into(target, write);
  }

  /** Where rows go last, those that come do so first: others may be about to point to them. */
  #arranged(statements: readonly Statement[]): readonly Statement[] {
    const isNew = ({ kind, otherwise }: Statement): boolean => kind === 'upsert' && !otherwise;
    return this.#context.arrangement.deletesLast
      ? [...statements.filter(isNew), ...statements.filter((one) => !isNew(one))]
      : statements;
  }

  /** What goes or changes with rows without a word of the source is read again there. */
  async #delete(mode: Mode, from: TargetTable, statement: Statement): Promise<void> {
    const { copying, target } = this.#context;
    if (from.taken.links.length > 0 && isOwners(mode))
      await copying.readAllAgain(target.client, takenBy(from, statement.rows));
    await this.#execute(from, statement);
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

  /** Rows that an update did not find: known only in part, they must be read again at the source. */
  async #incomplete(mode: Mode, rows: readonly RowOperation[]): Promise<void> {
    // What a guest's update does not find, the owner has deleted.
    if (mode !== 'guest') await this.readAgain(rows);
  }
}

/** The row of the source that an operation came from. */
export function nameOf(row: RowOperation): RowName {
  return { table: formatTable(row.source), key: row.key };
}
