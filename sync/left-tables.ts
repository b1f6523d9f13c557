// Tables that a flow had, or was tried with, and that the mapping names no more. While the monolith alone
// writes, what is kept of them is forgotten: nobody waits for their copy, and one that comes back is copied
// from its beginning. Where the service writes, too, that could not make good what was not followed
// meanwhile, and the flow stops.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import type { Direction } from '../control/domain/flow.ts';
import type { Stage } from './copy-records.ts';
import type { Mode } from './domain/mapping.ts';

const OF_A_TABLE = ['backfill', 'reread', 'orphan'];

/** Throws FLOW_STOPPED. */
export async function forgetLeft(
  client: pg.Client,
  { flow, direction, mode }: Readonly<{ flow: string; direction: Direction; mode: Mode }>,
  tables: readonly string[],
): Promise<void> {
  if (!ownsAlone(direction, mode)) {
    // One without a shape has never been run: it was tried, and taken back.
    const { rows } = await client.query<{ source_table: string }>(
      `SELECT source_table FROM banyan.backfill
        WHERE flow = $1 AND source_table <> ALL ($2) AND shape IS NOT NULL ORDER BY 1`,
      [flow, tables],
    );
    if (rows.length > 0)
      throw new BanyanError(
        'FLOW_STOPPED',
        `the mapping no longer names ${rows.map((row) => row.source_table).join(', ')}, which the service has been given to write`,
        {
          hint: 'Nothing was lost. Put the mapping back as it was and start sync again. A table is taken out while the monolith alone writes: go back there first (`banyan rollback`).',
        },
      );
  }
  for (const table of OF_A_TABLE)
    await client.query(`DELETE FROM banyan.${table} WHERE flow = $1 AND source_table <> ALL ($2)`, [
      flow,
      tables,
    ]);
}

/** Where the copy of a table that has not begun begins. Rows that the source lacks are strays only where it owns them all. */
export function firstStage(direction: Direction, mode: Mode): Stage {
  if (direction === 'back') return 'done';
  return ownsAlone(direction, mode) ? 'prune' : 'copy';
}

/** The monolith alone writes what moves. */
function ownsAlone(direction: Direction, mode: Mode): boolean {
  return mode === (direction === 'to' ? 'owner' : 'guest');
}
