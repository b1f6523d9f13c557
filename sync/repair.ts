// Has rows that are wrong read again: they are put on the list of the flow that comes from the owner,
// and what that then finds at the owner counts.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { transaction } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Sides } from './barriers.ts';
import { targetKey, type Edge } from './domain/mapping.ts';
import { asWritten, type Key } from './keys.ts';

/** Rows that are listed in one transaction: the applier waits for its end. */
const BATCH_ROWS = 1_000;

/** By table of the service, keys of its rows. Throws MOVE_NOT_ALLOWED when that side does not own the data any more. */
export async function repair(
  capability: string,
  owner: Owner,
  { monolith, service }: Sides,
  wrong: ReadonlyMap<string, readonly Key[]>,
  edges: readonly Edge[],
): Promise<void> {
  const { write } = owner === 'monolith' ? service : monolith;
  const flow = `${capability}:${owner === 'monolith' ? 'to' : 'back'}`;
  for (const [table, all] of wrong) {
    const edge = edges.find((one) => formatTable(one.target) === table);
    // A flow to the service asks the monolith, for what feeds the table.
    const source = edge && owner === 'monolith' ? formatTable(edge.source) : table;
    for (let done = 0; done < all.length; done += BATCH_ROWS) {
      const some = all.slice(done, done + BATCH_ROWS);
      // The way back asks the service, in the texts that it writes.
      const keys =
        edge && owner === 'service'
          ? await asWritten(service.read, edge.target, targetKey(edge), some)
          : some;
      await transaction(write, async () => {
        await holdOwner(write, capability, flow, owner);
        await write.query(
          `INSERT INTO banyan.reread (flow, source_table, key)
           SELECT $1, $2, ARRAY(SELECT jsonb_array_elements_text(key)) FROM jsonb_array_elements($3) AS key
           ON CONFLICT DO NOTHING`,
          [flow, source, JSON.stringify(keys)],
        );
      });
    }
  }
}

/** Held until they are listed: a switch that comes waits for them, one that has come is not overwritten. */
async function holdOwner(
  write: pg.Client,
  capability: string,
  flow: string,
  owner: Owner,
): Promise<void> {
  const { rows } = await write.query(
    `SELECT 1 FROM banyan.checkpoint WHERE flow = $1 AND mode IN ('owner', 'sharing owner') FOR SHARE`,
    [flow],
  );
  if (rows.length === 0)
    throw new BanyanError(
      'MOVE_NOT_ALLOWED',
      `the ${owner} does not own the data of "${capability}" any more`,
      { hint: 'Verify once more: the other side is right now.' },
    );
}
