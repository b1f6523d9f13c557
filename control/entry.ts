// How a capability enters a database that takes part: the schema `banyan` at its newest, the rights that
// the applier needs in it, and the row that guards every later step.
import type pg from 'pg';
import { quoteIdentifier } from '../core/postgres/identifiers.ts';
import { migrate } from '../core/postgres/migrate.ts';
import { PARTICIPANT_SCHEMA } from './domain/names.ts';

export interface Ownership {
  readonly capability: string;
  readonly epoch: number;
  readonly owns: boolean;
}

/** Idempotent; `client` and `url` are the coordinator's. */
export async function enter(
  client: pg.Client,
  url: string,
  applier: string,
  { capability, epoch, owns }: Ownership,
): Promise<void> {
  await migrate({ url, folder: 'participant', direction: 'up', schema: PARTICIPANT_SCHEMA });
  const role = quoteIdentifier(applier);
  await client.query(`GRANT USAGE ON SCHEMA ${PARTICIPANT_SCHEMA} TO ${role}`);
  await client.query(
    `GRANT SELECT, INSERT, UPDATE, DELETE ON banyan.checkpoint, banyan.log_offset, banyan.backfill, banyan.reread, banyan.orphan, banyan.parked, banyan.conflict, banyan.awaited, banyan.tombstone, banyan.flight TO ${role}`,
  );
  await client.query(`GRANT SELECT ON banyan.ownership_change TO ${role}`);
  await client.query(
    `INSERT INTO banyan.ownership (capability, epoch, owns) VALUES ($1, $2, $3)
     ON CONFLICT (capability) DO UPDATE SET epoch = greatest(ownership.epoch, excluded.epoch)`,
    [capability, epoch, owns],
  );
}
