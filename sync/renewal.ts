// What the target alone knows of rows begins anew, as it would if they were deleted and put in again.
import { rawRows } from '../core/postgres/connect.ts';
import { textArray } from '../core/postgres/text-forms.ts';
import type { RowOperation, TargetTable } from './domain/target-table.ts';
import { resetStatement } from './domain/way-statements.ts';
import type { Target } from './target.ts';

export async function renew(
  session: Target,
  target: TargetTable,
  rows: readonly RowOperation[],
): Promise<void> {
  if (rows.length === 0) return;
  const found = await rawRows(session.client, OWN, [
    target.name.schema,
    target.name.table,
    namedOf(target),
  ]);
  const own = found.map(([name, type, initial]) => ({
    ...{ name: name ?? '', type: type ?? '' },
    initial: initial ?? undefined,
  }));
  const statement = resetStatement(target, own, rows);
  if (statement) await session.into(target, () => session.execute(statement));
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
