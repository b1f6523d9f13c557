// Applies pieces of the log to the target: many source transactions, one target transaction, the
// checkpoint inside it. A batch that is refused is rolled back and narrowed down to the source
// transaction that is to blame, which is replayed change by change in source order; what is refused
// then is parked, and later changes of its row wait behind it.
import { sleep } from '../core/lifecycle.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { messageOf } from '../core/errors.ts';
import { Batch, type Applied } from './batch.ts';
import type { Copying } from './copying.ts';
import type { Piece } from './domain/change.ts';
import { Flights } from './flights.ts';
import { Judge } from './judge.ts';
import { Coalescer, targetTables, type TargetTable } from './domain/coalesce.ts';
import { MappingError, type Mode } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';
import type { ParkedLetter, Parking } from './parking.ts';
import { explain, isRefusal, isTransient } from './refusal.ts';
import type { Checkpoint, Target } from './target.ts';
import { Writer, type BatchContext, type Care, type ModePlan } from './writer.ts';

const BATCH_CHANGES = 20_000;
const BATCH_BYTES = 16 * 1_048_576;
const MORE_CARE: Readonly<Record<Care, Care | undefined>> = {
  folded: 'in order',
  'in order': 'parking',
  parking: 'parking strictly',
  'parking strictly': undefined,
};
const MAX_TRIES = 10;
const TRY_AGAIN_MS = 20;

export class Applier {
  readonly #context: BatchContext;
  #checkpoint: Checkpoint;
  /** Commits that the target may not have on its disk yet. */
  #owed = false;

  constructor(
    target: Target,
    plan: FlowPlan,
    copying: Copying,
    parking: Parking,
    checkpoint: Checkpoint,
  ) {
    const owner = modePlan(plan, 'owner');
    const modes = {
      ...{ owner, guest: modePlan(plan, 'guest') },
      ...{ 'sharing owner': owner, 'sharing guest': owner },
    };
    const flights = new Flights(target.client, plan.capability);
    this.#context = { target, plan, copying, parking, modes, flights };
    this.#checkpoint = checkpoint;
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
    for (let tries = 1; ; tries++)
      try {
        return await this.#attempt(pieces, care, soon);
      } catch (error) {
        if (isTransient(error) && tries < MAX_TRIES) {
          await sleep(TRY_AGAIN_MS * tries);
          continue;
        }
        const half = pieces.length >> 1;
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
   * Tries parked changes again whose retry was asked for: all of them together, or else one by one,
   * each behind those of the same row.
   */
  async retryParked(): Promise<void> {
    const { target, parking, copying } = this.#context;
    const writer = new Writer(this.#context);
    const judge = new Judge(this.#context, writer, 'parking strictly');
    try {
      await writer.begin();
      const letters = await parking.wanted(target.client);
      const applied: string[] = [];
      const failed: { id: string; error: string }[] = [];
      const isOne = (error: unknown): boolean => isRefusal(error) || error instanceof MappingError;
      const together = await writer.whole(async () => {
        for (const letter of letters) await this.#retry(letter, writer, judge);
      }, isOne);
      if (together === undefined) applied.push(...letters.map(({ id }) => id));
      else {
        for (const { coalescer } of Object.values(this.#context.modes)) coalescer.take();
        const stuck = new Set<string>();
        for (const letter of letters) {
          const { id, table, keys, mode, change } = letter;
          const rows = parking.namesOf(table, keys);
          const error = rows.some((row) => stuck.has(row))
            ? undefined
            : ((await (mode === 'sharing guest'
                ? judge.again(change, letter)
                : writer.attempt(mode, change, true, isOne))) ?? null);
          if (error === null) applied.push(id);
          else {
            for (const row of rows) stuck.add(row);
            if (error !== undefined) failed.push({ id, error: messageOf(explain(error)) });
          }
        }
      }
      await parking.settle(target.client, applied, failed);
      await target.client.query('COMMIT');
      copying.committed();
    } catch (error) {
      await writer.rollback();
      copying.rolledBack();
      // Still asked for: the next look tries it again.
      if (!isTransient(error)) throw explain(error);
    }
    await parking.load(target.client);
  }

  async #retry(
    { mode, change, ...letter }: ParkedLetter,
    writer: Writer,
    judge: Judge,
  ): Promise<void> {
    if (mode === 'sharing guest') {
      const refused = await judge.again(change, letter);
      if (refused !== undefined) throw refused as Error;
      return;
    }
    this.#context.modes[mode].coalescer.add(change);
    await writer.flush(mode);
  }

  /** One target transaction; while changes are judged, one for each of the source. */
  async #attempt(pieces: readonly Piece[], care: Care, soon: boolean): Promise<Applied> {
    const done: Applied[] = [];
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
  const targets = targetTables(edges).sort((a, b) => place(a) - place(b));
  return { coalescer: new Coalescer(edges, targets), targets };
}
