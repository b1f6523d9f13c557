// One target transaction under construction: folds changes, obeys the messages between them, writes
// rows and checkpoint together. It begins when there is something to write; a batch without effect
// leaves the target untouched.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatTable } from '../core/postgres/identifiers.ts';
import {
  comparePositions,
  END_OF_TRANSACTION,
  formatLsn,
  type Position,
} from '../core/postgres/lsn.ts';
import { decodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import { Answers } from './answers.ts';
import type { Mark } from './chunk.ts';
import { writeChunk } from './chunk-writing.ts';
import type { Change, Piece, Relation, RowChange } from './domain/change.ts';
import { MappingError } from './domain/mapping.ts';
import { emptyTables } from './emptying.ts';
import { modeOf } from './domain/said.ts';
import { Judge } from './judge.ts';
import { EntangledKeys, refusalOf } from './refusal.ts';
import type { Checkpoint } from './target.ts';
import type { BatchContext, Care, ModePlan } from './batch-context.ts';
import { Writer } from './writer.ts';

export interface Applied {
  /** Newest heartbeat that has been passed: the target is complete up to then. */
  readonly watermark: string | undefined;
  /** Source commit times (Unix ms) of the transactions that wrote something. */
  readonly commitTimes: readonly number[];
  readonly changes: number;
  /** Changes of the other side that met another row than they were made on. */
  readonly conflicts: number;
  /** Rows that the owner spoke of while they were in flight. */
  readonly overtaken: number;
  /** Everything that ends here or before is durable. */
  readonly endLsn: bigint | undefined;
}

/** Changes that are written while the next ones are folded. */
const FLUSH_CHANGES = 2_500;
const FLUSH_BYTES = 2 * 1_048_576;
/** Changes that are folded in one turn of the event loop. */
const TURN_CHANGES = 500;

export interface CommitOptions {
  /** Let the server answer before the commit is on its disk. */
  readonly soon: boolean;
  /** Commits before this one may not be on the disk yet. */
  readonly owed: boolean;
}

export class Batch {
  checkpoint: Checkpoint;
  readonly #context: BatchContext;
  readonly #writer: Writer;
  readonly #judge: Judge;
  readonly #answers: Answers;
  readonly #start: Checkpoint;
  readonly #care: Care;
  #writing: Promise<void> = Promise.resolve();
  #dirty = false;
  #watermark: string | undefined;
  #commitTimes: number[] = [];
  /** When the newest transaction that it has something of committed. */
  #commitMs = 0;
  #changes = 0;
  #endLsn: bigint | undefined;
  #full = false;

  constructor(context: BatchContext, start: Checkpoint, care: Care) {
    this.#context = context;
    this.#writer = new Writer(context);
    this.#judge = new Judge(context, this.#writer, care);
    this.#answers = new Answers(context, this.#writer);
    this.#start = start;
    this.#care = care;
    this.checkpoint = start;
    for (const mode of Object.values(context.modes)) mode.coalescer.take();
  }

  /** What comes next belongs into a transaction of its own. */
  get full(): boolean {
    return this.#full;
  }

  get outcome(): Applied {
    return {
      watermark: this.#watermark,
      commitTimes: this.#commitTimes,
      changes: this.#changes,
      conflicts: this.#judge.conflicts,
      overtaken: this.#writer.overtaken,
      endLsn: this.#endLsn,
    };
  }

  async piece(piece: Piece): Promise<void> {
    const { head, changes, firstSeq } = piece;
    this.#context.copying.delivered(head.xid);
    this.#commitMs = head.commitMs;
    const own = head.origin === this.#context.plan.echoOrigin;
    const before = this.#changes;
    let opened = false;
    for (let index = this.#done(piece); index < changes.length; index++) {
      const change = changes[index] as Change;
      if (change.kind === 'message') await this.#message(change, piece, firstSeq + index);
      else if (change.kind === 'truncate') await this.#truncate(change, own);
      else {
        const { mode } = this.checkpoint;
        // What stays with a guest begins with the row that the owner's flow put in: that is no echo.
        const begun = own && mode === 'guest' ? this.#mode.coalescer.begun(change) : undefined;
        // The owner's order is everybody's while both sides write: an echo counts too.
        const echo = own && mode !== 'sharing owner' && !begun;
        if (mode === 'sharing guest' && !echo && !opened) {
          opened = true;
          this.#dirty = true;
          await this.#judge.open(head);
        }
        const wanted = begun ?? change;
        if (!this.#wanted(wanted, echo, piece, firstSeq + index)) continue;
        const taking = this.#take(wanted, piece, firstSeq + index);
        if (taking) await taking;
      }
    }
    const last = piece.endLsn === undefined ? firstSeq + changes.length - 1 : END_OF_TRANSACTION;
    this.#read(piece, piece.read?.complete ?? this.#position(piece, last));
    this.#full ||= this.checkpoint.mode === 'sharing guest' && this.#dirty;
    if (piece.endLsn === undefined) return;
    if (this.#changes > before) this.#commitTimes.push(head.commitMs);
    this.#endLsn = piece.endLsn;
  }

  /**
   * Writes what is pending and the checkpoint. A batch without effect leaves the target untouched,
   * unless a commit is owed to the disk. Gives whether one is then.
   */
  async commit({ soon, owed }: CommitOptions): Promise<boolean> {
    await this.#flush();
    if (!this.#dirty && (soon || !owed)) {
      this.checkpoint = this.#start;
      return owed;
    }
    const { copying, parking, target } = this.#context;
    await this.#writer.begin();
    if (this.#care === 'parking') await this.#writer.checkDeferred();
    await parking.write(target.client);
    await this.#writer.commit(this.#start, this.checkpoint, { soon, commitMs: this.#commitMs });
    copying.committed();
    parking.committed();
    return soon;
  }

  async abandon(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#writer.rollback();
    this.#context.copying.rolledBack();
    this.#context.parking.rolledBack();
  }

  #read({ read }: Piece, position: Position): void {
    if (comparePositions(position, this.#start.position) > 0)
      this.checkpoint = { ...this.checkpoint, position };
    if (!read) return;
    const offsets = new Map([...(this.checkpoint.offsets ?? []), ...read.places]);
    this.checkpoint = { ...this.checkpoint, offsets };
    if (read.due) this.#dirty = true;
  }

  /** How many of a piece's changes lie before the checkpoint that the batch began at. */
  #done({ head, changes, firstSeq }: Piece): number {
    const { commitLsn, seq } = this.#start.position;
    if (head.commitLsn !== commitLsn) return head.commitLsn < commitLsn ? changes.length : 0;
    return Math.min(changes.length, Math.max(0, seq - firstSeq + 1));
  }

  #position({ head }: Piece, seq: number): Position {
    const timeline = head.timeline ?? this.#start.position.timeline;
    return { timeline, commitLsn: head.commitLsn, seq };
  }

  get #mode(): ModePlan {
    return this.#context.modes[this.checkpoint.mode];
  }

  /** Whether a change is to be written now: it concerns us, is no echo, and nothing of its row is parked. */
  #wanted(change: RowChange, echo: boolean, piece: Piece, seq: number): boolean {
    const { copying, parking } = this.#context;
    const { coalescer } = this.#mode;
    const { relation } = change;
    if (!coalescer.concerns(relation)) {
      this.#assertKnown(relation);
      return false;
    }
    const table = coalescer.labelOf(relation);
    if (copying.watching)
      for (const image of ['old', 'new'] as const) {
        const key = coalescer.keyOf(change, image);
        if (key !== undefined) copying.touched(table, key);
      }
    if (echo) return false;
    // Before a table is copied, only that a row is gone counts; one that moved is gone from where it was.
    if (!copying.streams(table) && change.kind !== 'delete' && coalescer.rowsOf(change).length < 2)
      return false;
    this.#changes += 1;
    this.#dirty = true;
    this.#writer.parts.meet(this.checkpoint.mode, change);
    if (parking.empty || !parking.holds(table, coalescer.rowsOf(change))) return true;
    this.#park(change, piece, seq, null);
    return false;
  }

  /** A change that is to be written now: folded, or judged, or by itself. Most are folded, and done. */
  #take(change: RowChange, piece: Piece, seq: number): Promise<void> | undefined {
    const { mode } = this.checkpoint;
    if (mode === 'sharing guest') return this.#weigh(change, piece, seq);
    if (this.#care !== 'folded') return this.#alone(change, piece, seq);
    this.#mode.coalescer.add(change);
    const { size, isEntangled } = this.#mode.coalescer;
    if (isEntangled) throw new EntangledKeys();
    if (size >= flushAt(piece))
      return mode === 'sharing owner' ? this.#flush() : this.#flushBeside();
    // The server's answers and what the stream brings are not to wait for the whole fold.
    return size % TURN_CHANGES === 0 ? nextTurn() : undefined;
  }

  /** Writes one change by itself, or parks it. */
  async #alone(change: RowChange, piece: Piece, seq: number): Promise<void> {
    const { mode } = this.checkpoint;
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
      mode: this.checkpoint.mode,
      position: `${formatLsn(head.commitLsn)}/${seq}`,
      commitMs: head.commitMs,
      error: error === null ? null : refusalOf(error),
    });
  }

  async #truncate(
    { relations }: Change & { readonly kind: 'truncate' },
    echo: boolean,
  ): Promise<void> {
    for (const relation of relations) this.#assertKnown(relation);
    if (echo) return;
    const { coalescer } = this.#mode;
    const hit = relations.filter((relation) => coalescer.concerns(relation)).map(formatTable);
    for (const table of hit) this.#context.copying.truncated(table);
    if (hit.length === 0) return;
    this.#dirty = true;
    await this.#flush();
    await emptyTables(this.#context, this.#writer, this.checkpoint.mode, hit);
    await this.#context.parking.truncated(this.#context.target.client, hit);
  }

  /** The publication holds mapped tables only: another name is a table that was renamed. */
  #assertKnown(relation: Relation): void {
    if (this.#context.modes.owner.coalescer.concerns(relation)) return;
    throw new MappingError(
      `changes of table ${formatTable(relation)} arrive, which the mapping does not name: was a table renamed? If so, roll the capability back to monolith and start its sync anew`,
    );
  }

  async #message(
    { prefix, content }: Change & { readonly kind: 'message' },
    piece: Piece,
    seq: number,
  ): Promise<void> {
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
          ...this.checkpoint,
          position: this.#position(piece, seq),
          mode: modeOf(message),
          barrier: message.epoch,
        };
        return;
      case 'judged':
        if (message.capability !== this.#context.plan.capability) return;
        this.#answers.judged(message.xid);
        this.#dirty = true;
        return;
      case 'row': {
        if (message.capability !== this.#context.plan.capability) return;
        this.#dirty = true;
        const change = await this.#answers.row(message);
        if (change && this.#wanted(change, false, piece, seq)) await this.#take(change, piece, seq);
        return;
      }
      case 'taken':
        if (message.capability !== this.#context.plan.capability) return;
        await this.#judge.taken(message.table, message.key);
        this.#dirty = true;
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
    this.#dirty = true;
    await writeChunk(this.#context, this.#writer, chunk, this.checkpoint.mode, this.#care);
  }

  /** Everything folded so far is in the target's transaction when this resolves. */
  async #flush(): Promise<void> {
    await this.#writing;
    await this.#answers.land();
    await this.#writer.flush(this.checkpoint.mode);
  }

  /** Sends what has been folded, and folds on while the server works on it. */
  async #flushBeside(): Promise<void> {
    const write = this.#writer.prepare(this.checkpoint.mode, this.#mode.coalescer.take());
    const before = this.#writing;
    this.#writing = before.then(write);
    // Whoever awaits it next hears of its error.
    this.#writing.catch(() => undefined);
    // One is being written, one waits: more would only take memory.
    await before;
  }
}

/** How many changes are folded before they are written. */
function flushAt({ size, bytes }: Piece): number {
  return Math.min(FLUSH_CHANGES, Math.ceil((FLUSH_BYTES * size) / Math.max(1, bytes)));
}
