// A truncate at the source, at the target: all rows of the tables that it drives go, children first,
// and those that it only has a part in lose that part.
import {
  formatTable,
  quoteIdentifier,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import type { Edge, Mode } from './domain/mapping.ts';
import { isKeyViolation } from './refusal.ts';
import type { BatchContext, Writer } from './writer.ts';

/** All rows of these source tables are gone. Throws what the target refuses. */
export async function emptyTables(
  { plan, target, modes }: BatchContext,
  writer: Writer,
  mode: Mode,
  tables: readonly string[],
): Promise<void> {
  const place = (edge: Edge): number => plan.targetOrder.indexOf(formatTable(edge.target));
  const edges = plan.edges[mode]
    .filter((edge) => tables.includes(formatTable(edge.source)))
    .sort((a, b) => place(b) - place(a));
  const clear = async (name: TableName, columns: readonly string[]): Promise<void> => {
    if (columns.length === 0) return;
    const sets = columns.map((column) => `${quoteIdentifier(column)} = NULL`);
    await target.client.query(`UPDATE ${quoteTable(name)} SET ${sets.join(', ')}`);
  };
  const empty = async (edge: Edge): Promise<void> => {
    if (edge.driver) await target.client.query(`DELETE FROM ${quoteTable(edge.target)}`);
    else if (mode === 'owner')
      await clear(
        edge.target,
        edge.columns.map((pair) => pair.target),
      );
  };
  const all = async (): Promise<void> => {
    for (const edge of edges) await empty(edge);
  };
  if ((await writer.whole(all, isKeyViolation, false)) === undefined) return;
  // They may point to each other in a circle: without what may be null, some order is left.
  for (const { name, columns, references } of modes[mode].targets)
    if (edges.some((edge) => edge.driver && formatTable(edge.target) === formatTable(name)))
      await clear(
        name,
        references.map((index) => columns[index]?.name ?? ''),
      );
  for (let left = edges; left.length > 0;) {
    const refused: Edge[] = [];
    let why: unknown;
    for (const edge of left) {
      const error = await writer.whole(() => empty(edge), isKeyViolation, false);
      if (error === undefined) continue;
      why = error;
      refused.push(edge);
    }
    if (refused.length === left.length) throw why as Error;
    left = refused;
  }
}
