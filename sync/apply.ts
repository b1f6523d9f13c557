// Applies pieces of the log to the target: many source transactions, one target transaction, the
// checkpoint inside it. A batch that is refused is rolled back and narrowed down to the source
// transaction that is to blame, which is replayed change by change in source order; what is refused
// then is parked, and later changes of its row wait behind it.
import { sleep } from '../core/lifecycle.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { parseLsn, type Lsn } from '../core/postgres/lsn.ts';
import { Batch, type Applied } from './batch.ts';
import type { Copying } from './copying.ts';
import type { Piece } from './domain/change.ts';
import { Flights } from './flights.ts';
import { Judge } from './judge.ts';
import { Coalescer } from './domain/coalesce.ts';
import { targetTables, type TargetTable } from './domain/target-table.ts';
import { UnknownReference } from './domain/lens.ts';
import type { Mode } from './domain/mapping.ts';
import { partsOf, type FlowPlan } from './domain/plan.ts';
import { COPIED, type ParkedLetter, type Parking } from './parking.ts';
import { explain, isKeyViolation, isRefusal, isTransient } from './refusal.ts';
import { retryLetters } from './retry.ts';
import type { Checkpoint, Committed, Target } from './target.ts';
import type { BatchContext, Care, ModePlan } from './batch-context.ts';
import { Writer } from './writer.ts';

const BATCH_CHANGES = 20_000;
const BATCH_BYTES = 16 * 1_048_576;
const MORE_CARE: Readonly<Record<Care, Care | undefined>> = {
  folded: 'in order',
  'in order': 'parking',
  parking: 'parking strictly',
  'parking strictly': undefined,
};
/** How often it is noted that there was nothing to write. */
const NOTE_MS = 5_000;
const MAX_TRIES = 10;
const TRY_AGAIN_MS = 20;

export class Applier {
  readonly #context: BatchContext;
  #checkpoint: Checkpoint;
  /** Reads the tables of references anew, with what these transactions have written. */
  readonly #reload: ((xids: readonly number[]) => Promise<void>) | undefined;
  /** Whether the last folded batch that was not refused deleted last. */
  #deletesLast = false;
  /** Commits that the target may not have on its disk yet. */
  #owed = false;
  #notedAt = -NOTE_MS;

  constructor(
    target: Target,
    plan: FlowPlan,
    copying: Copying,
    parking: Parking,
    checkpoint: Checkpoint,
    reload?: (xids: readonly number[]) => Promise<void>,
    look?: () => Promise<unknown>,
  ) {
    const owner = modePlan(plan, 'owner');
    const modes = {
      ...{ owner, guest: modePlan(plan, 'guest') },
      ...{ 'sharing owner': owner, 'sharing guest': owner },
    };
    const flights = new Flights(target.client, plan.capability);
    const arrangement = { deletesLast: false };
    this.#context = {
      ...{ target, plan, copying, parking, modes, flights, arrangement },
      ...{ parts: partsOf(plan), look },
    };
    this.#checkpoint = checkpoint;
    this.#reload = reload;
  }

  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  /**
   * Applies the pieces in as few target transactions as their size allows. When this resolves, all of
   * it is durable: only the last commit waits for the target's disk, and takes the others along.
   */
  async apply(pieces: readonly Piece[]): Promise<Applied> {
    // What is judged has a transaction of its own, and care of its own where it is refused.
    const isJudged = this.#checkpoint.mode === 'sharing guest';
    const batches = isJudged ? pieces.map((piece) => [piece]) : batchesOf(pieces);
    const done: Applied[] = [];
    for (const [index, batch] of batches.entries())
      done.push(await this.#applyBatch(batch, index < batches.length - 1));
    return joined(done);
  }
  async #applyBatch(pieces: readonly Piece[], soon: boolean): Promise<Applied> {
    let care: Care | undefined = 'folded';
    let mayReload = this.#reload !== undefined;
    let turned = false;
    for (let tries = 1; ; tries++)
      try {
        return await this.#attempt(pieces, care, soon);
      } catch (error) {
        if (isTransient(error) && tries < MAX_TRIES) {
          await sleep(TRY_AGAIN_MS * tries);
          continue;
        }
        if (mayReload && error instanceof UnknownReference) {
          mayReload = false;
          await this.#reload?.(pieces.map(({ head }) => head.xid));
          continue;
        }
        const half = pieces.length >> 1;
        // Perhaps they may be written in the other order.
        if (isKeyViolation(error) && half > 0 && !turned) {
          turned = true;
          this.#deletesLast = !this.#deletesLast;
          continue;
        }
        if (isRefusal(error) && half > 0)
          return joined([
            await this.#applyBatch(pieces.slice(0, half), true),
            await this.#applyBatch(pieces.slice(half), soon),
          ]);
        const more: Care | undefined = isRefusal(error) ? MORE_CARE[care] : undefined;
        if (!more) throw explain(error);
        care = more;
      }
  }

  /**
   * What of the log may be acknowledged now: no more than the target says by itself, so that whoever finds
   * more acknowledged knows that changes are missing. What wrote nothing is noted now and then.
   */
  async noted(endLsn: Lsn): Promise<Lsn> {
    const { confirmed = 0n, offsets } = this.#checkpoint;
    if (offsets || confirmed >= endLsn) return endLsn;
    const now = performance.now();
    if (now - this.#notedAt < NOTE_MS) return confirmed;
    await this.#context.target.confirm(endLsn);
    this.#notedAt = now;
    this.#checkpoint = { ...this.#checkpoint, confirmed: endLsn };
    return endLsn;
  }

  /** Tries parked changes again whose retry was asked for. */
  async retryParked(): Promise<void> {
    const { target, parking, copying, arrangement } = this.#context;
    arrangement.deletesLast = false;
    const writer = new Writer(this.#context);
    const judge = new Judge(this.#context, writer, 'parking strictly');
    try {
      await writer.transaction.begin();
      const letters = await parking.wanted(target.client);
      if (letters.length > 0) await this.#reload?.([]);
      const { applied, failed } = await retryLetters(this.#context, writer, judge, letters);
      const done = letters.filter(({ id }) => applied.includes(id));
      for (const { mode, change } of done) writer.parts.meet(mode, change, true);
      await writer.parts.settle();
      await parking.settle(target.client, applied, failed);
      await target.commit(this.#newestOf(done, judge.newestMs));
      copying.committed();
    } catch (error) {
      await writer.transaction.rollback();
      copying.rolledBack();
      // Still asked for: the next look tries it again.
      if (!isTransient(error)) throw explain(error);
    }
    await parking.load(target.client);
  }

  /**
   * The transaction that the last of some letters, in source order, came with; what is written over is no
   * newer. A row of a copy came with none: it went in where the stream stood.
   */
  #newestOf(letters: readonly ParkedLetter[], overMs: number): Committed {
    const newest = letters.at(-1);
    if (!newest) return { commitLsn: 0n, commitMs: 0 };
    const at = letters.findLast(({ position }) => position !== COPIED)?.position;
    return {
      commitLsn:
        at === undefined
          ? this.#checkpoint.position.commitLsn
          : parseLsn(at.slice(0, at.lastIndexOf('/'))),
      commitMs: Math.max(newest.commitMs, overMs),
    };
  }

  /** One target transaction; while changes are judged, one for each of the source. */
  async #attempt(pieces: readonly Piece[], care: Care, soon: boolean): Promise<Applied> {
    const done: Applied[] = [];
    this.#context.arrangement.deletesLast = care === 'folded' && this.#deletesLast;
    for (let next = 0; next < pieces.length || done.length === 0;) {
      await this.#context.parking.refresh(this.#context.target.client);
      const batch = new Batch(this.#context, this.#checkpoint, care);
      try {
        for (; next < pieces.length && !batch.full; next++)
          await batch.piece(pieces[next] as Piece);
        this.#owed = await batch.commit({ soon: soon || next < pieces.length, owed: this.#owed });
      } catch (error) {
        await batch.abandon();
        throw error;
      }
      this.#checkpoint = batch.checkpoint;
      done.push(batch.outcome);
    }
    return joined(done);
  }
}

/** Cuts pieces into target transactions. */
function batchesOf(pieces: readonly Piece[]): Piece[][] {
  const batches: Piece[][] = [];
  let batch: Piece[] = [];
  let size = 0;
  let bytes = 0;
  for (const piece of pieces) {
    batch.push(piece);
    size += piece.size;
    bytes += piece.bytes;
    if (size < BATCH_CHANGES && bytes < BATCH_BYTES) continue;
    batches.push(batch);
    batch = [];
    size = 0;
    bytes = 0;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

function joined(done: readonly Applied[]): Applied {
  return {
    watermark: done.findLast((one) => one.watermark !== undefined)?.watermark,
    commitTimes: done.flatMap((one) => one.commitTimes),
    changes: done.reduce((sum, one) => sum + one.changes, 0),
    conflicts: done.reduce((sum, one) => sum + one.conflicts, 0),
    overtaken: done.reduce((sum, one) => sum + one.overtaken, 0),
    endLsn: done.findLast((one) => one.endLsn !== undefined)?.endLsn,
  };
}

function modePlan(plan: FlowPlan, mode: Mode): ModePlan {
  const edges = plan.edges[mode];
  const place = (target: TargetTable): number => plan.targetOrder.indexOf(formatTable(target.name));
  const targets = targetTables(edges, plan.keeping, plan.taking).sort(
    (a, b) => place(a) - place(b),
  );
  return { coalescer: new Coalescer(edges, targets, mode === 'owner'), targets };
}
