// One target transaction under construction: takes in changes (intake.ts), obeys the messages between
// them, writes rows and checkpoint together. It begins when there is something to write; a batch without
// effect leaves the target untouched.
import { comparePositions, END_OF_TRANSACTION, type Position } from '../core/postgres/lsn.ts';
import { decodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import { Answers } from './answers.ts';
import type { BatchContext, Care } from './batch-context.ts';
import type { Change, LogPlace, Piece } from './domain/change.ts';
import { partsFirst } from './domain/parts-first.ts';
import { modeOf, seenBy } from './domain/said.ts';
import { Intake } from './intake.ts';
import { Judge } from './judge.ts';
import type { Checkpoint } from './target.ts';
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
  readonly #intake: Intake;
  readonly #start: Checkpoint;
  readonly #care: Care;
  #copyAgain = false;
  #watermark: string | undefined;
  #commitTimes: number[] = [];
  /** When the newest transaction committed that wrote something, or else the newest of all. */
  #commitMs = 0;
  #endLsn: bigint | undefined;
  /** Where the log goes on by now, where it is one of partitions. */
  readonly #offsets: Map<string, LogPlace>;
  #full = false;

  constructor(context: BatchContext, start: Checkpoint, care: Care) {
    this.#context = context;
    this.#writer = new Writer(context);
    this.#judge = new Judge(context, this.#writer, care);
    this.#answers = new Answers(context, this.#writer);
    const parts = {
      context,
      writer: this.#writer,
      judge: this.#judge,
      answers: this.#answers,
      care,
    };
    this.#intake = new Intake(parts, start.mode);
    this.#start = start;
    this.#care = care;
    this.checkpoint = start;
    this.#offsets = new Map(start.offsets);
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
      changes: this.#intake.changes,
      conflicts: this.#judge.conflicts,
      overtaken: this.#writer.overtaken,
      endLsn: this.#endLsn,
    };
  }

  async piece(piece: Piece): Promise<void> {
    const { head, changes, firstSeq } = piece;
    const intake = this.#intake;
    this.#context.copying.delivered(head.xid);
    const own = head.origin === this.#context.plan.echoOrigin;
    const before = intake.changes;
    let opened = false;
    const first = this.#done(piece);
    const order =
      intake.mode === 'sharing guest'
        ? partsFirst(changes, first, this.#context.plan.edges['sharing guest'])
        : undefined;
    for (let next = first; next < changes.length; next++) {
      const index = order?.[next - first] ?? next;
      const change = changes[index] as Change;
      if (change.kind === 'message') await this.#message(change, piece, firstSeq + index);
      else if (change.kind === 'truncate') await intake.truncate(change, own);
      else {
        const { mode } = intake;
        // What stays with a guest begins with the row that the owner's flow put in: that is no echo.
        const begun =
          own && mode === 'guest' ? this.#context.modes.guest.coalescer.begun(change) : undefined;
        // The owner's order is everybody's while both sides write: an echo counts too.
        const echo = own && mode !== 'sharing owner' && !begun;
        if (mode === 'sharing guest' && !echo && !opened) {
          opened = true;
          intake.dirty = true;
          await this.#judge.open(head);
        }
        const wanted = intake.wanted(begun ?? change, echo, piece, firstSeq + index);
        if (!wanted) continue;
        const taking = intake.take(wanted, piece, firstSeq + index);
        if (taking) await taking;
      }
    }
    const last = piece.endLsn === undefined ? firstSeq + changes.length - 1 : END_OF_TRANSACTION;
    this.#read(piece, piece.read?.complete ?? this.#position(piece, last));
    const wrote = intake.changes > before;
    // A heartbeat makes no row newer.
    if (wrote || this.#commitTimes.length === 0) this.#commitMs = head.commitMs;
    this.#full ||= intake.mode === 'sharing guest' && intake.dirty;
    if (piece.endLsn === undefined) return;
    if (wrote) this.#commitTimes.push(head.commitMs);
    this.#endLsn = piece.endLsn;
  }

  /**
   * Writes what is pending and the checkpoint. A batch without effect leaves the target untouched,
   * unless a commit is owed to the disk. Gives whether one is then.
   */
  async commit({ soon, owed }: CommitOptions): Promise<boolean> {
    await this.#intake.flush();
    if (!this.#intake.dirty && (soon || !owed)) {
      this.checkpoint = this.#start;
      return owed;
    }
    const { copying, parking, target } = this.#context;
    await this.#writer.transaction.begin();
    if (this.#care === 'parking') await this.#writer.transaction.checkDeferred();
    await parking.write(target.client);
    if (this.#copyAgain)
      await copying.again(target.client, this.checkpoint.mode === 'owner' ? 'prune' : 'copy');
    const commitMs = Math.max(this.#commitMs, this.#judge.newestMs);
    if (this.#endLsn !== undefined)
      this.checkpoint = { ...this.checkpoint, confirmed: this.#endLsn };
    await this.#writer.commit(this.#start, this.checkpoint, { soon, commitMs });
    copying.committed();
    parking.committed();
    return soon;
  }

  async abandon(): Promise<void> {
    await this.#intake.settled();
    await this.#writer.transaction.rollback();
    this.#context.copying.rolledBack();
    this.#context.parking.rolledBack();
  }

  #read({ read }: Piece, position: Position): void {
    if (comparePositions(position, this.#start.position) > 0)
      this.checkpoint = { ...this.checkpoint, position };
    if (!read) return;
    for (const [name, place] of read.places) this.#offsets.set(name, place);
    if (this.checkpoint.offsets !== this.#offsets)
      this.checkpoint = { ...this.checkpoint, offsets: this.#offsets };
    if (read.due) this.#intake.dirty = true;
    if (read.copyAgain) this.#copyAgain = true;
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

  async #message(
    { prefix, content }: Change & { readonly kind: 'message' },
    piece: Piece,
    seq: number,
  ): Promise<void> {
    const message = prefix === MESSAGE_PREFIX ? decodeMessage(content) : undefined;
    if (!message) return;
    const intake = this.#intake;
    const { copying, plan } = this.#context;
    switch (message.kind) {
      case 'heartbeat':
        if (message.flow !== plan.flow) return;
        this.#watermark = message.at ?? this.#watermark;
        // In stream order: a mark that lies before this one has been seen already.
        copying.seen(seenBy(message));
        return;
      case 'barrier':
        if (message.capability === plan.capability) intake.dirty = true;
        return;
      case 'ownership':
        if (message.capability !== plan.capability) return;
        // From here on somebody else owns what is here: all of it must be.
        if (intake.mode !== 'guest' && !message.owns) await this.#context.look?.();
        await intake.flush();
        intake.dirty = true;
        intake.mode = modeOf(message);
        this.checkpoint = {
          ...this.checkpoint,
          position: this.#position(piece, seq),
          mode: intake.mode,
          barrier: message.epoch,
        };
        return;
      case 'judged':
        if (message.capability !== plan.capability) return;
        this.#answers.judged(message.xid);
        intake.dirty = true;
        return;
      case 'row': {
        if (message.capability !== plan.capability) return;
        intake.dirty = true;
        const change = await this.#answers.row(message);
        const wanted = change && intake.wanted(change, false, piece, seq);
        if (wanted) await intake.take(wanted, piece, seq);
        return;
      }
      case 'taken':
        if (message.capability !== plan.capability) return;
        await this.#judge.taken(message.table, message.key);
        intake.dirty = true;
        return;
      case 'low':
      case 'high':
        if (message.flow !== plan.flow) return;
        if (message.kind === 'low') copying.low(message);
        else await intake.chunk(message);
        return;
    }
  }
}
