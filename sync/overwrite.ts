// Rows that a source has deleted and put in again, where the target cannot let the old one go: rows of
// ours point to it that already mean the new one. The old row becomes the new one where it is.
import { rawRows } from '../core/postgres/connect.ts';
import { formatTable, type TableName } from '../core/postgres/identifiers.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import type { Mode } from './domain/mapping.ts';
import { inPlace, type Rows } from './domain/partial-rows.ts';
import { resetStatement } from './domain/way-statements.ts';
import type { TargetTable } from './domain/target-table.ts';
import type { BatchContext } from './batch-context.ts';
import { isForeignKey } from './refusal.ts';
import type { Writer } from './writer.ts';

/** Whether a row of one of our tables keeps another one from being deleted. */
export function isHeldByOurs({ plan }: BatchContext, error: unknown): boolean {
  if (!isForeignKey(error)) return false;
  const { schema = '', table = '' } = error as Partial<TableName>;
  return plan.targetOrder.includes(formatTable({ schema, table }));
}

export async function overwrite(
  { target: session }: BatchContext,
  writer: Writer,
  mode: Mode,
  rows: Rows,
): Promise<void> {
  for (const [target, operations] of rows) {
    const replaced = operations.filter((row) => row.replaced);
    if (replaced.length === 0) continue;
    const found = await rawRows(session.client, OWN, [
      target.name.schema,
      target.name.table,
      namedOf(target),
    ]);
    const own = found.map(([name, type, initial]) => ({
      ...{ name: name ?? '', type: type ?? '' },
      initial: initial ?? undefined,
    }));
    const statement = resetStatement(target, own, replaced);
    if (statement) await session.into(target, () => session.execute(statement));
  }
  await writer.write(mode, inPlace(rows));
}

const OWN = `
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attidentity = '' AND pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) IS NULL THEN coalesce(pg_get_expr(d.adbin, d.adrelid), 'NULL') END
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
   AND a.attname <> ALL ($3::text[])`;

/** The columns that the flow gives a value. */
function namedOf({ key, columns, constants }: TargetTable): string {
  const names = [...key, ...columns].map(({ name }) => name);
  return textArray([...names, ...constants.map(({ column }) => column)]);
}
