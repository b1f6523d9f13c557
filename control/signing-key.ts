// What the replicas of the edge sign with. It is made with the control database and never leaves it
// but for their memory.
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Knex } from 'knex';

/** The key, 32 bytes. Rejects when the control database does not answer or was not prepared. */
export async function readSigningKey(db: Knex): Promise<KeyObject> {
  const row = await db<{ key: Buffer }>('banyan.signing_key').first('key');
  if (!row) throw new Error('the control database has no signing key');
  return createSecretKey(row.key);
}
