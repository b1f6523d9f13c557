// Has rows that are wrong read again: they are put on the list of the flow that comes from the owner,
// and what that then finds at the owner counts.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { transaction } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Sides } from './barriers.ts';
import type { Edge } from './domain/mapping.ts';
import type { VerifySample } from './suspects.ts';

/** Throws MOVE_NOT_ALLOWED when that side does not own the data any more. */
export async function repair(
  capability: string,
  owner: Owner,
  { monolith, service }: Sides,
  wrong: readonly Pick<VerifySample, 'table' | 'key'>[],
  edges: readonly Edge[],
): Promise<void> {
  const { write } = owner === 'monolith' ? service : monolith;
  const flow = `${capability}:${owner === 'monolith' ? 'to' : 'back'}`;
  await transaction(write, async () => {
    await holdOwner(write, capability, flow, owner);
    for (const { table, key } of wrong) {
      const edge = edges.find((one) => formatTable(one.target) === table);
      const label = owner === 'monolith' && edge ? formatTable(edge.source) : table;
      await write.query(
        'INSERT INTO banyan.reread (flow, source_table, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        [flow, label, key],
      );
    }
  });
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
