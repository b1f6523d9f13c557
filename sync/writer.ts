// Writes folded changes into the target, inside the one transaction of a batch: multi-row statements
// in foreign-key order, or one change at a time where a key violation is to be narrowed down. While
// tables are being copied, a row that is refused, or known only in part, is put on the list of those
// to read again; otherwise a refusal is the caller's.
import { formatTable, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import type { Chunk } from './chunk.ts';
import type { Copying, RowName } from './copying.ts';
import type { RowChange } from './domain/change.ts';
import type { Coalescer, RowOperation, TargetTable } from './domain/coalesce.ts';
import type { Edge, Mode } from './domain/mapping.ts';
import { isHalf, missing, withoutReferences, type Rows } from './domain/partial-rows.ts';
import type { FlowPlan } from './domain/plan.ts';
import {
  copyStatement,
  deleteStatement,
  mayCopy,
  writeStatements,
  type Statement,
} from './domain/statements.ts';
import type { Parking } from './parking.ts';
import { isConstraintViolation, isKeyViolation, isRefusal } from './refusal.ts';
import type { Checkpoint, Target } from './target.ts';

/** What a flow writes in one mode: its targets, parents first, and the folding of changes into them. */
export interface ModePlan {
  readonly coalescer: Coalescer;
  readonly targets: readonly TargetTable[];
}

export interface BatchContext {
  readonly target: Target;
  readonly plan: FlowPlan;
  readonly copying: Copying;
  readonly parking: Parking;
  readonly modes: Readonly<Record<Mode, ModePlan>>;
}

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

  constructor(context: BatchContext) {
    this.#context = context;
  }

  async begin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    await this.#context.target.client.query('BEGIN');
  }

  /** With `soon`, the server answers before the commit is on its disk; a later one that is not brings it there. */
  async commit(before: Checkpoint, after: Checkpoint, soon: boolean): Promise<void> {
    const { target } = this.#context;
    await this.begin();
    if (soon) await target.client.query('SET LOCAL synchronous_commit = off');
    await target.advance(before, after);
    await target.client.query('COMMIT');
  }

  async rollback(): Promise<void> {
    if (this.#begun) await this.#context.target.client.query('ROLLBACK').catch(() => undefined);
  }

  /** Everything that has been folded since the last time. */
  async flush(mode: Mode): Promise<void> {
    const { coalescer } = this.#context.modes[mode];
    if (coalescer.size > 0) await this.write(mode, coalescer.take());
  }

  /** All rows of these source tables are gone. */
  async truncate(mode: Mode, tables: readonly string[]): Promise<void> {
    await this.begin();
    const { plan, target } = this.#context;
    const edges = plan.edges[mode].filter((edge) => tables.includes(formatTable(edge.source)));
    const place = (edge: Edge): number => plan.targetOrder.indexOf(formatTable(edge.target));
    for (const edge of [...edges].sort((a, b) => place(b) - place(a)))
      if (edge.driver) await target.client.query(`DELETE FROM ${quoteTable(edge.target)}`);
      else if (mode === 'owner' && edge.columns.length > 0)
        await target.client.query(
          `UPDATE ${quoteTable(edge.target)} SET ${edge.columns.map((pair) => `${quoteIdentifier(pair.target)} = NULL`).join(', ')}`,
        );
  }

  /** Deletes children first, then writes parents first. */
  write(mode: Mode, rows: Rows): Promise<void> {
    return this.prepare(mode, rows)();
  }

  /** The same in two parts: the statements are made at once, and run when the function is called. */
  prepare(mode: Mode, rows: Rows): () => Promise<void> {
    const { targets } = this.#context.modes[mode];
    const deletes = [...targets].reverse().map((target) => {
      const operations = rows.get(target) ?? [];
      return { statement: deleteStatement(target, operations), halves: operations.filter(isHalf) };
    });
    const writes = targets.map((target) =>
      this.#prepareTarget(mode, target, rows.get(target) ?? []),
    );
    return async () => {
      await this.begin();
      for (const { statement, halves } of deletes) {
        if (statement) await this.#context.target.execute(statement);
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
      return () => this.#run(mode, target, statements);
    }
    const copy = copyStatement(target, operations);
    return async () => {
      if (!(await session.copy(target.name, copy)))
        await this.#run(mode, target, writeStatements(target, operations));
    };
  }

  async #run(mode: Mode, target: TargetTable, statements: readonly Statement[]): Promise<void> {
    const { target: session } = this.#context;
    for (const statement of statements) {
      const { count, returned } = await session.execute(statement);
      if (count >= statement.rows.length) continue;
      if (statement.otherwise) {
        // A row that should be there is not: it is put in, and the others are left alone.
        const { there, put } = statement.otherwise;
        const found = await session.execute(there);
        await session.execute(put(missing(target, statement.rows, found.returned)));
      } else if (statement.kind === 'update')
        await this.#incomplete(mode, missing(target, statement.rows, returned));
    }
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
    if (!named.every((row) => this.#context.copying.patientWith(row))) return refused;
    await this.#later(mode, rows);
    return undefined;
  }

  /** A chunk copied in, where its targets have none of its rows; or else like any rows. */
  async chunk(mode: Mode, chunk: Chunk): Promise<Refused[]> {
    const { target: session } = this.#context;
    // As the source owns it, a row is a whole row of the target.
    const copies = mode === 'owner' ? chunk.copies : undefined;
    if (copies?.every(({ table }) => session.mayCopy(table))) {
      const copy = async (): Promise<void> => {
        for (const one of copies)
          if (!(await session.copy(one.table, one))) throw new CopyRefused();
      };
      const refused = await this.#tolerate(
        copy,
        (error) => error instanceof CopyRefused || isRefusal(error),
        true,
      );
      if (refused === undefined) return [];
    }
    return this.rows(mode, chunk.rows());
  }

  /** Rows all at once, or one by one when one of them is refused; gives those that are. */
  async rows(mode: Mode, changes: readonly RowChange[]): Promise<Refused[]> {
    const { coalescer } = this.#context.modes[mode];
    const all = async (): Promise<void> => {
      try {
        for (const change of changes) coalescer.add(change);
      } catch (error) {
        coalescer.take();
        throw error;
      }
      await this.flush(mode);
    };
    if ((await this.#tolerate(all, isRefusal, true)) === undefined) return [];
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

  /** Runs `work` so that it has all its effect or none. */
  whole(work: () => Promise<void>, isOne: (error: unknown) => boolean): Promise<unknown> {
    return this.#tolerate(work, isOne, true);
  }

  /** Whether what a row points to may still be on its way. */
  #mayCome(mode: Mode): boolean {
    return this.#context.copying.running && mode === 'owner';
  }

  /** Rows whose parent is not there yet are read again; those that point in a circle go in without that first. */
  async #later(mode: Mode, rows: Rows): Promise<void> {
    const bare = withoutReferences(rows);
    if (bare) await this.#tolerate(() => this.write(mode, bare), isConstraintViolation, true);
    await this.#readAgain([...rows.values()].flat());
  }

  /** Runs `write` under a savepoint; gives the refusal, and leaves no effect, where it is one of the given kind. */
  async #tolerate(
    write: () => Promise<void>,
    isOne: (error: unknown) => boolean,
    now: boolean,
  ): Promise<unknown> {
    const { client } = this.#context.target;
    await this.begin();
    await client.query('SAVEPOINT tolerated');
    try {
      await write();
      if (now) await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      await client.query('RELEASE SAVEPOINT tolerated');
      return undefined;
    } catch (error) {
      if (!isOne(error)) throw error;
      await client.query('ROLLBACK TO SAVEPOINT tolerated');
      return error;
    }
  }

  /** Rows that an update did not find: known only in part, they must be read again at the source. */
  async #incomplete(mode: Mode, rows: readonly RowOperation[]): Promise<void> {
    // What a guest's update does not find, the owner has deleted.
    if (mode === 'owner') await this.#readAgain(rows);
  }

  async #readAgain(rows: readonly RowOperation[]): Promise<void> {
    const { copying, target } = this.#context;
    await copying.readAgain(target.client, rows.map(nameOf));
  }
}

function nameOf(row: RowOperation): RowName {
  return { table: formatTable(row.source), key: row.key };
}
