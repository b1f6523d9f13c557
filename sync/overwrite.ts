// Rows that a source has deleted and put in again, where the target cannot let the old one go: rows of
// ours point to it that already mean the new one. The old row becomes the new one where it is.
import { formatTable, type TableName } from '../core/postgres/identifiers.ts';
import type { BatchContext } from './batch-context.ts';
import type { Mode } from './domain/mapping.ts';
import { inPlace, type Rows } from './domain/partial-rows.ts';
import { isForeignKey } from './refusal.ts';
import { renew } from './renewal.ts';
import type { Writer } from './writer.ts';

/** Whether a row of one of our tables keeps another one from being deleted. */
export function isHeldByOurs({ plan }: BatchContext, error: unknown): boolean {
  if (!isForeignKey(error)) return false;
  const { schema = '', table = '' } = error as Partial<TableName>;
  return plan.targetOrder.includes(formatTable({ schema, table }));
}

export async function overwrite(
  { target }: BatchContext,
  writer: Writer,
  mode: Mode,
  rows: Rows,
): Promise<void> {
  for (const [table, operations] of rows)
    await renew(
      target,
      table,
      operations.filter((row) => row.replaced),
    );
  await writer.write(mode, inPlace(rows));
}
