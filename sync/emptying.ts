// A truncate at the source, at the target: all rows of the tables that it drives go, children first,
// and those that it only has a part in lose that part.
import { formatTable, type TableName } from '../core/postgres/identifiers.ts';
import type { RowFilter } from '../control/domain/mapped-table.ts';
import { isOwners, targetColumns, type Constant, type Edge, type Mode } from './domain/mapping.ts';
import {
  clearText,
  driverOf,
  emptyPartText,
  emptyText,
  orphansText,
  takenByAll,
} from './domain/emptying-statements.ts';
import { isKeyViolation } from './refusal.ts';
import type { BatchContext } from './batch-context.ts';
import type { Writer } from './writer.ts';

interface Cleared {
  readonly name: TableName;
  readonly guard: RowFilter;
  readonly skipsTriggers: boolean;
}

/** All rows of these source tables are gone. Throws what the target refuses. */
export async function emptyTables(
  { plan, target, modes, parts, copying }: BatchContext,
  writer: Writer,
  mode: Mode,
  tables: readonly string[],
): Promise<void> {
  const place = (edge: Edge): number => plan.targetOrder.indexOf(formatTable(edge.target));
  const edges = plan.edges[mode]
    .filter((edge) => tables.includes(formatTable(edge.source)))
    .sort((a, b) => place(b) - place(a));
  const run = async (into: { readonly skipsTriggers: boolean }, text: string): Promise<void> => {
    await target.into(into, () => target.client.query(text));
  };
  const clear = async (table: Cleared, to: readonly Constant[]): Promise<void> => {
    if (to.length > 0) await run(table, clearText(table, to));
  };
  const empty = async (edge: Edge): Promise<void> => {
    const { skipsTriggers } = edge;
    const table = { name: edge.target, guard: edge.guard, skipsTriggers };
    // A part that no row of ours drives is not ours.
    const driver = driverOf(edge, edges);
    if (driver) await run(edge, emptyPartText(edge, driver));
    else if (edge.driver) {
      const whole = modes[mode].targets.find(
        ({ name }) => formatTable(name) === formatTable(edge.target),
      );
      if (whole && whole.taken.links.length > 0 && isOwners(mode))
        await copying.readAllAgain(target.client, { text: takenByAll(whole) });
      await run(edge, emptyText(table));
    } else if (mode !== 'guest')
      await clear(
        table,
        targetColumns(edge).map(({ target: column, type, absent: value }) => ({
          ...{ column, type, value },
        })),
      );
  };
  await writer.transaction.begin();
  // Parts that stay behind without their driver are read again.
  for (const edge of edges)
    for (const part of (edge.driver && parts.get(formatTable(edge.source))) || [])
      if (!tables.includes(part))
        await copying.readAllAgain(target.client, { text: orphansText(edge, part) });
  const all = async (): Promise<void> => {
    for (const edge of edges) await empty(edge);
  };
  if ((await writer.transaction.whole(all, isKeyViolation, false)) === undefined) return;
  // They may point to each other in a circle: without what may be null, some order is left.
  for (const table of modes[mode].targets) {
    const { name, columns, references } = table;
    if (edges.some((edge) => edge.driver && formatTable(edge.target) === formatTable(name)))
      await clear(
        table,
        references.map((index) => {
          const { name: column = '', type = 'text' } = columns[index] ?? {};
          return { column, type, value: null };
        }),
      );
  }
  for (let left = edges; left.length > 0;) {
    const refused: Edge[] = [];
    let why: unknown;
    for (const edge of left) {
      const error = await writer.transaction.whole(() => empty(edge), isKeyViolation, false);
      if (error === undefined) continue;
      why = error;
      refused.push(edge);
    }
    if (refused.length === left.length) throw why as Error;
    left = refused;
  }
}
