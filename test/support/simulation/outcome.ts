// How a schedule ended: what both databases show, against what was written; what is left over, where it
// does not come to an end.
import { parseRow, type Row, type Rows, type Side } from './side.ts';
import { linesOf, type Truth } from './truth.ts';
import type { World } from './world.ts';

/** Throws where a side is not what was written. */
export async function compare({ sides }: World, truth: Truth, copies: boolean): Promise<void> {
  const wanted = truth.lines();
  for (const side of Object.values(sides)) {
    const rows = await readAll(side);
    const shown = linesOf(side, rows);
    const lines = [
      ...wanted.filter((line) => !shown.includes(line)).map((line) => `  lacks ${line}`),
      ...shown.filter((line) => !wanted.includes(line)).map((line) => `  has   ${line}`),
    ];
    if (lines.length > 0)
      throw new Error(`the ${side.name} is not what was written:\n${lines.join('\n')}`);
    // Before a copy nobody knows which rows are whose.
    if (copies) continue;
    for (const [key, row] of rows.get('product') ?? [])
      if (!truth.isUnsure(key) && truth.isSeen(key) !== (row[7] === 'seen'))
        throw new Error(`views of product ${key} are ${row[7] ?? 'NULL'}: not what was written`);
  }
}

/** What is parked or waits to be read again, to read. */
export async function leftOver({ sides }: World): Promise<string> {
  const left: string[] = [];
  for (const { client, name } of Object.values(sides)) {
    const { rows } = await client.query(
      `SELECT 'parked' AS what, source_table, keys::text, change::text, error FROM banyan.parked
        UNION ALL SELECT 'reread', source_table, key::text, NULL, NULL FROM banyan.reread`,
    );
    left.push(...rows.map((row) => `${name} ${JSON.stringify(row)}`));
  }
  return left.join('\n');
}

async function readAll(side: Side): Promise<Rows> {
  const tables = Object.keys(side.tables.tables);
  const results = (await side.client.query(
    tables.map((table) => `SELECT t::text AS row FROM ${table} t`).join(';'),
  )) as unknown as { rows: { row: string }[] }[];
  return new Map(
    tables.map((table, index) => [
      table,
      new Map(
        results[index]?.rows.map(({ row: text }): [string, Row] => {
          const row = parseRow(text) ?? [];
          return [side.keyOf(table, row), row];
        }),
      ),
    ]),
  );
}
