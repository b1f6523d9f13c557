// One target transaction under construction: folds changes, obeys the messages between them, writes
// rows and checkpoint together. It begins when there is something to write; a batch without effect
// leaves the target untouched.
import { formatTable, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { comparePositions, END_OF_TRANSACTION, type Position } from '../core/postgres/lsn.ts';
import { decodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Copying, Mark } from './copying.ts';
import type { Change, Piece, Value } from './domain/change.ts';
import type { Coalescer, RowOperation, TargetTable } from './domain/coalesce.ts';
import { MappingError, type Edge, type Mode } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';
import { deleteStatement, writeStatements } from './domain/statements.ts';
import { isConstraintViolation, isKeyViolation } from './refusal.ts';
import type { Checkpoint, Target } from './target.ts';

/** What a flow writes in one mode: its targets, parents first, and the folding of changes into them. */
export interface ModePlan {
  readonly coalescer: Coalescer;
  readonly targets: readonly TargetTable[];
}

export interface Applied {
  /** Newest heartbeat that has been passed: the target is complete up to then. */
  readonly watermark: string | undefined;
  /** Source commit times (Unix ms) of the transactions that wrote something. */
  readonly commitTimes: readonly number[];
  readonly changes: number;
  /** Everything that ends here or before is durable. */
  readonly endLsn: bigint | undefined;
}

export interface BatchContext {
  readonly target: Target;
  readonly plan: FlowPlan;
  readonly copying: Copying;
  readonly modes: Readonly<Record<Mode, ModePlan>>;
}

export class Batch {
  checkpoint: Checkpoint;
  readonly #target: Target;
  readonly #plan: FlowPlan;
  readonly #copying: Copying;
  readonly #modes: Readonly<Record<Mode, ModePlan>>;
  readonly #start: Checkpoint;
  /** Write each change by itself, in source order, rather than folded. */
  readonly #inOrder: boolean;
  #begun = false;
  #dirty = false;
  #watermark: string | undefined;
  #commitTimes: number[] = [];
  #changes = 0;
  #endLsn: bigint | undefined;

  constructor(context: BatchContext, start: Checkpoint, inOrder: boolean) {
    this.#target = context.target;
    this.#plan = context.plan;
    this.#copying = context.copying;
    this.#modes = context.modes;
    this.#start = start;
    this.#inOrder = inOrder;
    this.checkpoint = start;
    for (const mode of Object.values(context.modes)) mode.coalescer.take();
  }

  get outcome(): Applied {
    return {
      watermark: this.#watermark,
      commitTimes: this.#commitTimes,
      changes: this.#changes,
      endLsn: this.#endLsn,
    };
  }

  async piece(piece: Piece): Promise<void> {
    const { head } = piece;
    this.#copying.delivered(head.xid);
    const echo = head.origin === this.#plan.echoOrigin;
    const before = this.#changes;
    for (let index = 0; index < piece.changes.length; index++) {
      const seq = piece.firstSeq + index;
      const change = piece.changes[index] as Change;
      const position = { timeline: this.#start.position.timeline, commitLsn: head.commitLsn, seq };
      if (comparePositions(position, this.#start.position) <= 0) continue;
      if (change.kind === 'message') await this.#message(change.prefix, change.content, position);
      else await this.#change(change, echo);
      this.#move(position);
    }
    if (piece.endLsn === undefined) return;
    const end = {
      timeline: this.#start.position.timeline,
      commitLsn: head.commitLsn,
      seq: END_OF_TRANSACTION,
    };
    if (comparePositions(end, this.#start.position) > 0) this.#move(end);
    if (this.#changes > before) this.#commitTimes.push(head.commitMs);
    this.#endLsn = piece.endLsn;
  }

  /** Writes what is pending and the checkpoint. A batch without effect leaves the target untouched. */
  async commit(): Promise<void> {
    await this.#flush();
    if (!this.#dirty) {
      this.checkpoint = this.#start;
      return;
    }
    await this.#begin();
    await this.#target.advance(this.#start, this.checkpoint);
    await this.#target.client.query('COMMIT');
    this.#copying.committed();
  }

  async abandon(): Promise<void> {
    if (this.#begun) await this.#target.client.query('ROLLBACK').catch(() => undefined);
    this.#copying.rolledBack();
  }

  #move(position: Position): void {
    this.checkpoint = { ...this.checkpoint, position };
  }

  get #mode(): ModePlan {
    return this.#modes[this.checkpoint.mode];
  }

  async #change(change: Exclude<Change, { kind: 'message' }>, echo: boolean): Promise<void> {
    const { coalescer } = this.#mode;
    this.#assertKnown(change);
    if (change.kind === 'truncate') {
      if (echo) return;
      const hit = change.relations.filter((relation) => coalescer.concerns(relation));
      for (const relation of hit) this.#copying.truncated(formatTable(relation));
      if (hit.length > 0) await this.#truncate(hit.map(formatTable));
      return;
    }
    if (!coalescer.concerns(change.relation)) return;
    const table = formatTable(change.relation);
    const [before, after] = [coalescer.keyOf(change, 'old'), coalescer.keyOf(change, 'new')];
    for (const key of [before, after]) if (key !== undefined) this.#copying.touched(table, key);
    if (echo) return;
    if (change.kind === 'delete' || this.#copying.streams(table)) coalescer.add(change);
    else if (change.kind === 'update' && change.before && before !== after)
      coalescer.add({ kind: 'delete', relation: change.relation, before: change.before });
    else return;
    this.#changes += 1;
    this.#dirty = true;
    if (this.#inOrder) await this.#flushOne();
  }

  /** The publication holds mapped tables only: another name is a table that was renamed. */
  #assertKnown(change: Exclude<Change, { kind: 'message' }>): void {
    const { coalescer } = this.#modes.owner;
    for (const relation of change.kind === 'truncate' ? change.relations : [change.relation])
      if (!coalescer.concerns(relation))
        throw new MappingError(
          `changes of table ${formatTable(relation)} arrive, which the mapping does not name: was a table renamed? If so, roll the capability back to monolith and start its sync anew`,
        );
  }

  async #message(prefix: string, content: string, position: Position): Promise<void> {
    const message = prefix === MESSAGE_PREFIX ? decodeMessage(content) : undefined;
    if (!message) return;
    switch (message.kind) {
      case 'heartbeat':
        if (message.flow === this.#plan.flow) this.#watermark = message.at;
        return;
      case 'barrier':
        if (message.capability === this.#plan.capability) this.#dirty = true;
        return;
      case 'ownership':
        if (message.capability !== this.#plan.capability) return;
        await this.#flush();
        this.#dirty = true;
        this.checkpoint = {
          position,
          mode: message.owns ? 'owner' : 'guest',
          barrier: message.epoch,
        };
        return;
      case 'low':
      case 'high':
        if (message.flow !== this.#plan.flow) return;
        if (message.kind === 'low') this.#copying.low(message);
        else await this.#chunk(message);
        return;
    }
  }

  /** The rows of a chunk go in where the stream stands at its high mark. */
  async #chunk(mark: Mark): Promise<void> {
    const chunk = this.#copying.high(mark);
    if (!chunk) return;
    await this.#flush();
    await this.#begin();
    this.#dirty = true;
    await this.#copying.record(this.#target.client, chunk);
    await this.#flushChunk(chunk.rows);
  }

  async #truncate(tables: readonly string[]): Promise<void> {
    await this.#flush();
    await this.#begin();
    this.#dirty = true;
    const edges = this.#plan.edges[this.checkpoint.mode].filter((edge) =>
      tables.includes(formatTable(edge.source)),
    );
    const place = (edge: Edge): number => this.#plan.targetOrder.indexOf(formatTable(edge.target));
    for (const edge of [...edges].sort((a, b) => place(b) - place(a)))
      if (edge.driver) await this.#target.client.query(`DELETE FROM ${quoteTable(edge.target)}`);
      else if (this.checkpoint.mode === 'owner' && edge.columns.length > 0)
        await this.#target.client.query(
          `UPDATE ${quoteTable(edge.target)} SET ${edge.columns.map((pair) => `${quoteIdentifier(pair.target)} = NULL`).join(', ')}`,
        );
  }

  async #begin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    await this.#target.client.query('BEGIN');
  }

  async #flush(): Promise<void> {
    const { coalescer } = this.#mode;
    if (coalescer.size > 0) await this.#write(coalescer.take());
  }

  /** Deletes children first, then writes parents first. */
  async #write(rows: ReadonlyMap<TargetTable, readonly RowOperation[]>): Promise<void> {
    const { targets } = this.#mode;
    await this.#begin();
    for (const target of [...targets].reverse()) {
      const statement = deleteStatement(target, rows.get(target) ?? []);
      if (statement) await this.#target.execute(statement);
      const halves = (rows.get(target) ?? []).filter((row) =>
        row.exists === 'gone' ? row.values.some(known) : row.partial,
      );
      if (halves.length > 0) await this.#incomplete(halves);
    }
    for (const target of targets)
      for (const statement of writeStatements(target, rows.get(target) ?? [])) {
        const returned = await this.#target.execute(statement);
        if (statement.kind === 'update' && returned.length < statement.rows.length)
          await this.#incomplete(missing(target, statement.rows, returned));
      }
  }

  /** One change of an in-order replay. While tables are being copied, its parent may be on the way. */
  async #flushOne(): Promise<void> {
    const rows = this.#mode.coalescer.take();
    if (!this.#copying.running) return this.#write(rows);
    if (await this.#tolerate(() => this.#write(rows))) return;
    // Rows that point to each other in a circle go in without that first.
    const bare = withoutReferences(rows);
    if (bare) await this.#tolerate(() => this.#write(bare), isConstraintViolation);
    await this.#readAgain([...rows.values()].flat());
  }

  /** A chunk's rows all at once, or one by one when one of them is refused. */
  async #flushChunk(changes: readonly Change[]): Promise<void> {
    const { coalescer } = this.#mode;
    for (const change of changes) coalescer.add(change);
    if (await this.#tolerate(() => this.#flush())) return;
    for (const change of changes) {
      coalescer.add(change);
      await this.#flushOne();
    }
  }

  /** Runs `write` under a savepoint; false, and no effect, when a unique or foreign key refused it, deferred ones too. */
  async #tolerate(write: () => Promise<void>, refusal = isKeyViolation): Promise<boolean> {
    const { client } = this.#target;
    await this.#begin();
    await client.query('SAVEPOINT tolerated');
    try {
      await write();
      await client.query('SET CONSTRAINTS ALL IMMEDIATE');
      await client.query('RELEASE SAVEPOINT tolerated');
      return true;
    } catch (error) {
      if (!refusal(error)) throw error;
      await client.query('ROLLBACK TO SAVEPOINT tolerated');
      return false;
    }
  }

  /** Rows that an update did not find: known only in part, they must be read again at the source. */
  async #incomplete(rows: readonly RowOperation[]): Promise<void> {
    // What a guest's update does not find, the owner has deleted.
    if (this.checkpoint.mode === 'owner') await this.#readAgain(rows);
  }

  async #readAgain(rows: readonly RowOperation[]): Promise<void> {
    await this.#copying.readAgain(
      this.#target.client,
      rows.map((row) => ({ table: formatTable(row.source), key: row.key })),
    );
  }
}

function known(value: Value): boolean {
  return value !== undefined;
}

/** The same rows without what their nullable foreign keys say; undefined when they say nothing. */
function withoutReferences(
  rows: ReadonlyMap<TargetTable, readonly RowOperation[]>,
): Map<TargetTable, RowOperation[]> | undefined {
  const says = (target: TargetTable, row: RowOperation): boolean =>
    target.references.some((index) => typeof row.values[index] === 'string');
  if (![...rows].some(([target, all]) => all.some((row) => says(target, row)))) return undefined;
  const bare = (target: TargetTable, row: RowOperation): RowOperation => ({
    ...row,
    values: row.values.map((value, index) =>
      typeof value === 'string' && target.references.includes(index) ? null : value,
    ),
  });
  return new Map([...rows].map(([target, all]) => [target, all.map((row) => bare(target, row))]));
}

function missing(
  target: TargetTable,
  rows: readonly RowOperation[],
  returned: readonly Record<string, string>[],
): RowOperation[] {
  const found = new Set(
    returned.map((row) => target.key.map((_, index) => row[`k${index}`]).join('\u0000')),
  );
  return rows.filter((row) => !found.has(row.key.join('\u0000')));
}
