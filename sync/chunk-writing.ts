// A chunk on its way into the target, inside the transaction of a batch: its progress is recorded with
// its rows, and a row that is refused is parked like any change.
import type { BatchContext, Care } from './batch-context.ts';
import type { Chunk } from './chunk.ts';
import { UnknownReference } from './domain/lens.ts';
import type { Mode } from './domain/mapping.ts';
import { COPIED } from './parking.ts';
import { isRefusal, refusalOf } from './refusal.ts';
import type { Writer } from './writer.ts';

/** A refusal that reading the tables of references anew does not mend. */
function isFinal(error: unknown): boolean {
  return isRefusal(error) && !(error instanceof UnknownReference);
}

/** The rows of a chunk go in where the stream stands at its high mark, in the stream's mode. */
export async function writeChunk(
  { target, copying, parking, modes, parts }: BatchContext,
  writer: Writer,
  chunk: Chunk,
  current: Mode,
  care: Care,
): Promise<void> {
  await writer.transaction.begin();
  await copying.record(target.client, chunk);
  // Rows are listed to be read again while the source owns them, and the drain of a switch waits for
  // them: behind its barrier they are still an owner's.
  const shared = current === 'sharing owner';
  const mode = chunk.progress.kind === 'reread' && !shared ? 'owner' : current;
  const { coalescer } = modes[mode];
  // Somebody may just have given letters up to have their rows read again.
  if (!parking.empty && chunk.progress.kind === 'reread') await parking.load(target.client);
  if (parts.size > 0 && chunk.progress.kind === 'copy')
    for (const row of chunk.rows()) writer.parts.meet(mode, row);
  const isOne = care === 'folded' ? isFinal : isRefusal;
  const refused = parking.empty
    ? await writer.chunk(mode, chunk, isOne)
    : await writer.rows(
        mode,
        // What is parked of a row leads to the state that was read here, once it can be applied.
        chunk
          .rows()
          .filter((row) => !parking.holds(coalescer.labelOf(row.relation), coalescer.rowsOf(row))),
        isOne,
      );
  for (const { change, error } of refused)
    parking.stage({
      table: coalescer.labelOf(change.relation),
      keys: coalescer.rowsOf(change),
      change,
      mode,
      position: COPIED,
      commitMs: Date.now(),
      error: refusalOf(error),
    });
}
