// Applies pieces of the log to the target: many source transactions, one target transaction, the
// checkpoint inside it. A batch that violates a unique or foreign key is rolled back and narrowed down
// to the source transaction that does, which is replayed change by change in source order; only what
// fails then is a failure.
import { sleep } from '../core/lifecycle.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { Batch, type Applied } from './batch.ts';
import type { Copying } from './copying.ts';
import type { Piece } from './domain/change.ts';
import { Coalescer, targetTables, type TargetTable } from './domain/coalesce.ts';
import type { Mode } from './domain/mapping.ts';
import type { FlowPlan } from './domain/plan.ts';
import { explain, isKeyViolation, isTransient } from './refusal.ts';
import type { Checkpoint, Target } from './target.ts';
import type { BatchContext, ModePlan } from './writer.ts';

const BATCH_CHANGES = 5_000;
const MAX_TRIES = 10;
const TRY_AGAIN_MS = 20;

export class Applier {
  readonly #context: BatchContext;
  #checkpoint: Checkpoint;

  constructor(target: Target, plan: FlowPlan, copying: Copying, checkpoint: Checkpoint) {
    const modes = { owner: modePlan(plan, 'owner'), guest: modePlan(plan, 'guest') };
    this.#context = { target, plan, copying, modes };
    this.#checkpoint = checkpoint;
  }

  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  /** Applies the pieces in as few target transactions as their size allows. */
  async apply(pieces: readonly Piece[]): Promise<Applied> {
    let batch: Piece[] = [];
    let size = 0;
    const done: Applied[] = [];
    for (const piece of pieces) {
      batch.push(piece);
      size += piece.changes.length;
      if (size < BATCH_CHANGES) continue;
      done.push(await this.#applyBatch(batch));
      batch = [];
      size = 0;
    }
    if (batch.length > 0) done.push(await this.#applyBatch(batch));
    return joined(done);
  }

  async #applyBatch(pieces: readonly Piece[]): Promise<Applied> {
    let inOrder = false;
    for (let tries = 1; ; tries++)
      try {
        return await this.#attempt(pieces, inOrder);
      } catch (error) {
        const half = pieces.length >> 1;
        if (isKeyViolation(error) && half > 0)
          return joined([
            await this.#applyBatch(pieces.slice(0, half)),
            await this.#applyBatch(pieces.slice(half)),
          ]);
        const again = isKeyViolation(error) ? !inOrder : isTransient(error) && tries < MAX_TRIES;
        if (!again) throw explain(error);
        if (isTransient(error)) await sleep(TRY_AGAIN_MS * tries);
        inOrder ||= isKeyViolation(error);
      }
  }

  async #attempt(pieces: readonly Piece[], inOrder: boolean): Promise<Applied> {
    const batch = new Batch(this.#context, this.#checkpoint, inOrder);
    try {
      for (const piece of pieces) await batch.piece(piece);
      await batch.commit();
    } catch (error) {
      await batch.abandon();
      throw error;
    }
    this.#checkpoint = batch.checkpoint;
    return batch.outcome;
  }
}

function joined(done: readonly Applied[]): Applied {
  return {
    watermark: done.findLast((one) => one.watermark !== undefined)?.watermark,
    commitTimes: done.flatMap((one) => one.commitTimes),
    changes: done.reduce((sum, one) => sum + one.changes, 0),
    endLsn: done.findLast((one) => one.endLsn !== undefined)?.endLsn,
  };
}

function modePlan(plan: FlowPlan, mode: Mode): ModePlan {
  const edges = plan.edges[mode];
  const place = (target: TargetTable): number => plan.targetOrder.indexOf(formatTable(target.name));
  const targets = targetTables(edges).sort((a, b) => place(a) - place(b));
  return { coalescer: new Coalescer(edges, targets), targets };
}
