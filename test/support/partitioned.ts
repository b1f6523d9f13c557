// A pair with a table of events, on one side or both in partitions of ten each.
import type { MigrationInput } from '../../control/definition.ts';
import { createPair, type Pair } from './pair.ts';
import { advanceTo, equal } from './sync.ts';

type Tables = NonNullable<MigrationInput['capabilities'][string]['tables']>;

export const PLAIN = 'CREATE TABLE ev (id integer, at integer, v text, PRIMARY KEY (id, at))';
export const PARTITIONED = `${PLAIN} PARTITION BY RANGE (at); ${[0, 1, 2, 3]
  .map((n) => `CREATE TABLE ev_${n} PARTITION OF ev FOR VALUES FROM (${n}0) TO (${n + 1}0)`)
  .join('; ')}`;

/** In phase `sync`, with a row for each number from 1 to 39. */
export async function partitioned(
  monolith: string,
  service: string,
  options: Partial<Tables[number]> = {},
): Promise<Pair> {
  const pair = await createPair({
    schemas: { monolith, service },
    capability: {
      tables: [
        {
          ...{ monolith: 'ev', service: 'ev', key: { id: 'id', at: 'at' }, columns: { v: 'v' } },
          ...options,
        },
      ],
    },
  });
  await pair.monolith.query(`INSERT INTO ev SELECT i, i, 'v' FROM generate_series(1, 39) i`);
  await advanceTo(pair, 'sync');
  return pair;
}

export async function rowsOf(
  pair: Pair,
  side: 'monolith' | 'service',
  what = '*',
): Promise<unknown[]> {
  const { rows } = await pair[side].query<object>(`SELECT ${what} FROM ev ORDER BY id`);
  return rows;
}

export function alike(pair: Pair): Promise<void> {
  return equal(pair, async () => ({
    monolith: await rowsOf(pair, 'monolith'),
    service: await rowsOf(pair, 'service'),
  }));
}
