// The keys that replicas of the edge sign forwarded calls with. Whoever reads them and finds the newest
// too old makes the next one; two that do so at once make two, which harms nothing.
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Knex } from 'knex';

export interface CallKey {
  readonly id: string;
  readonly key: KeyObject;
  /** Since when it is there, by the control database's clock. */
  readonly ageMs: number;
}

const LIFE_S = 3_600;

/** Newest first, never none. Rejects when the control database does not answer. */
export async function readCallKeys(db: Knex): Promise<CallKey[]> {
  await db.raw(
    `INSERT INTO banyan.call_key (key)
     SELECT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
      WHERE NOT EXISTS (SELECT 1 FROM banyan.call_key WHERE made_at > clock_timestamp() - make_interval(secs => ?))`,
    [LIFE_S],
  );
  await db.raw(
    'DELETE FROM banyan.call_key WHERE made_at < clock_timestamp() - make_interval(secs => ?)',
    [2 * LIFE_S],
  );
  const { rows } = await db.raw<{ rows: { id: string; key: Buffer; age_ms: string }[] }>(
    'SELECT id, key, extract(epoch FROM clock_timestamp() - made_at) * 1000 AS age_ms FROM banyan.call_key ORDER BY id DESC',
  );
  return rows.map(({ id, key, age_ms }) => ({
    id,
    key: createSecretKey(key),
    ageMs: Number(age_ms),
  }));
}
