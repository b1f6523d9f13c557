// One target transaction under construction: folds changes, obeys the messages between them, writes
// rows and checkpoint together. It begins when there is something to write; a batch without effect
// leaves the target untouched.
import { formatTable } from '../core/postgres/identifiers.ts';
import { comparePositions, END_OF_TRANSACTION, type Position } from '../core/postgres/lsn.ts';
import { decodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Mark } from './copying.ts';
import type { Change, Piece } from './domain/change.ts';
import { MappingError } from './domain/mapping.ts';
import type { Checkpoint } from './target.ts';
import { Writer, type BatchContext, type ModePlan } from './writer.ts';

export interface Applied {
  /** Newest heartbeat that has been passed: the target is complete up to then. */
  readonly watermark: string | undefined;
  /** Source commit times (Unix ms) of the transactions that wrote something. */
  readonly commitTimes: readonly number[];
  readonly changes: number;
  /** Everything that ends here or before is durable. */
  readonly endLsn: bigint | undefined;
}

export class Batch {
  checkpoint: Checkpoint;
  readonly #context: BatchContext;
  readonly #writer: Writer;
  readonly #start: Checkpoint;
  /** Write each change by itself, in source order, rather than folded. */
  readonly #inOrder: boolean;
  #dirty = false;
  #watermark: string | undefined;
  #commitTimes: number[] = [];
  #changes = 0;
  #endLsn: bigint | undefined;

  constructor(context: BatchContext, start: Checkpoint, inOrder: boolean) {
    this.#context = context;
    this.#writer = new Writer(context);
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
    this.#context.copying.delivered(head.xid);
    const echo = head.origin === this.#context.plan.echoOrigin;
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
    await this.#writer.commit(this.#start, this.checkpoint);
    this.#context.copying.committed();
  }

  async abandon(): Promise<void> {
    await this.#writer.rollback();
    this.#context.copying.rolledBack();
  }

  #move(position: Position): void {
    this.checkpoint = { ...this.checkpoint, position };
  }

  get #mode(): ModePlan {
    return this.#context.modes[this.checkpoint.mode];
  }

  async #change(change: Exclude<Change, { kind: 'message' }>, echo: boolean): Promise<void> {
    const { coalescer } = this.#mode;
    this.#assertKnown(change);
    if (change.kind === 'truncate') {
      if (echo) return;
      const hit = change.relations.filter((relation) => coalescer.concerns(relation));
      for (const relation of hit) this.#context.copying.truncated(formatTable(relation));
      if (hit.length === 0) return;
      this.#dirty = true;
      await this.#writer.truncate(this.checkpoint.mode, hit.map(formatTable));
      return;
    }
    if (!coalescer.concerns(change.relation)) return;
    const table = formatTable(change.relation);
    const [before, after] = [coalescer.keyOf(change, 'old'), coalescer.keyOf(change, 'new')];
    for (const key of [before, after])
      if (key !== undefined) this.#context.copying.touched(table, key);
    if (echo) return;
    if (change.kind === 'delete' || this.#context.copying.streams(table)) coalescer.add(change);
    else if (change.kind === 'update' && change.before && before !== after)
      coalescer.add({ kind: 'delete', relation: change.relation, before: change.before });
    else return;
    this.#changes += 1;
    this.#dirty = true;
    if (this.#inOrder) await this.#writer.flushOne(this.checkpoint.mode);
  }

  /** The publication holds mapped tables only: another name is a table that was renamed. */
  #assertKnown(change: Exclude<Change, { kind: 'message' }>): void {
    const { coalescer } = this.#context.modes.owner;
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
        if (message.flow !== this.#context.plan.flow) return;
        this.#watermark = message.at ?? this.#watermark;
        // In stream order: a mark that lies before this one has been seen already.
        this.#context.copying.forgetBefore(message.xmin);
        return;
      case 'barrier':
        if (message.capability === this.#context.plan.capability) this.#dirty = true;
        return;
      case 'ownership':
        if (message.capability !== this.#context.plan.capability) return;
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
        if (message.flow !== this.#context.plan.flow) return;
        if (message.kind === 'low') this.#context.copying.low(message);
        else await this.#chunk(message);
        return;
    }
  }

  /** The rows of a chunk go in where the stream stands at its high mark. */
  async #chunk(mark: Mark): Promise<void> {
    const chunk = this.#context.copying.high(mark);
    if (!chunk) return;
    await this.#flush();
    await this.#writer.begin();
    this.#dirty = true;
    await this.#context.copying.record(this.#context.target.client, chunk);
    // Rows are listed to be read again while the source owns them, and the drain of a switch waits for
    // them: behind its barrier they are still an owner's.
    const mode = chunk.progress.kind === 'reread' ? 'owner' : this.checkpoint.mode;
    await this.#writer.chunk(mode, chunk.rows);
  }

  #flush(): Promise<void> {
    return this.#writer.flush(this.checkpoint.mode);
  }
}
