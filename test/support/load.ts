// Random writes on the monolith's small shop: inserts, updates, deletes, moved keys, swapped unique
// values, a growing and shrinking tree, TOAST values that stay unchanged, now and then a rollback.
import { sleep } from '../../core/lifecycle.ts';
import { connect, sqlState } from '../../core/postgres/connect.ts';
import { SESSION, type Pair } from './pair.ts';
import { randomOf } from './random.ts';

const SETUP = `
  ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL;
  INSERT INTO cat SELECT i, 'cat ' || i, nullif((i * 17) % 31, i) FROM generate_series(1, 30) i;
  INSERT INTO prd (no, nm, dsc, prc, sts, cat_id, stk)
    SELECT 'N' || i, 'name ' || i, repeat('long ', 500 * (i % 4)), i + 0.25, CASE WHEN i % 3 = 0 THEN 'D' ELSE 'A' END, (SELECT min(cat_id) FROM cat WHERE cat_id >= i % 25), i
      FROM generate_series(1, 150) i`;

/** Rows of prd and cat for the load to start from. */
export async function seedShop(pair: Pair): Promise<void> {
  await pair.monolith.query(SETUP);
}

type Pick = (below: number) => number;

const KINDS: readonly ((pick: Pick, tag: string) => string)[] = [
  (pick) => `UPDATE prd SET nm = 'n${pick(1e6)}', stk = stk + 1 WHERE prd_id = ${pick(200)}`,
  (pick) =>
    `UPDATE prd SET prc = ${pick(1e6)} / 100.0, upd = now() WHERE prd_id % 17 = ${pick(17)}`,
  (pick) =>
    `UPDATE prd SET dsc = repeat('${pick(9)}long ', ${pick(3) * 500}) WHERE prd_id = ${pick(200)}`,
  (pick) => `UPDATE prd SET dsc = NULL, sts = 'D' WHERE prd_id = ${pick(200)}`,
  (pick, tag) =>
    `INSERT INTO prd (no, nm, dsc, prc, cat_id) VALUES ('${tag}', '"\\{,''é', repeat('long ', ${pick(3) * 500}), 1.5, (SELECT cat_id FROM cat OFFSET ${pick(20)} LIMIT 1))`,
  (pick) => `DELETE FROM prd WHERE prd_id = ${pick(250)}`,
  (pick) => `UPDATE prd SET prd_id = ${pick(300)} - 60 WHERE prd_id = ${pick(200)}`,
  (pick) => {
    const [a, b] = [pick(200), pick(200)];
    return `UPDATE prd SET no = 'swap' WHERE prd_id = ${a};
      WITH one AS (UPDATE prd SET no = 'swap2' WHERE prd_id = ${b} RETURNING prd_id) SELECT 1 FROM one;
      UPDATE prd SET no = 'S' || ${b} WHERE prd_id = ${a}; UPDATE prd SET no = 'S' || ${a} WHERE prd_id = ${b}`;
  },
  (pick) =>
    `INSERT INTO cat SELECT ${100 + pick(60)}, 'new', (SELECT cat_id FROM cat OFFSET ${pick(30)} LIMIT 1) ON CONFLICT (cat_id) DO UPDATE SET nm = 'upserted'`,
  (pick) =>
    `UPDATE cat SET par_id = ${30 + pick(100)} WHERE cat_id = ${pick(60)} AND EXISTS (SELECT 1 FROM cat WHERE cat_id = ${30 + pick(100)})`,
  (pick) => {
    const id = pick(160);
    return `UPDATE prd SET cat_id = NULL WHERE cat_id = ${id}; UPDATE cat SET par_id = NULL WHERE par_id = ${id}; DELETE FROM cat WHERE cat_id = ${id}`;
  },
  (pick) => {
    const id = pick(150);
    return `WITH gone AS (DELETE FROM prd WHERE prd_id = ${id} RETURNING no) SELECT 1 FROM gone;
      INSERT INTO prd (prd_id, no, nm, prc) VALUES (${id}, 'R${id}', 'anew', 2)`;
  },
];

/** Runs `count` transactions on a connection of its own, one seed one sequence. Refused ones are left out. */
export async function writeLoad(
  pair: Pair,
  seed: number,
  count: number,
  pace: { readonly signal?: AbortSignal; readonly pauseMs?: number } = {},
): Promise<void> {
  const random = randomOf(seed);
  const pick: Pick = (below) => Math.floor(random() * below);
  const client = await connect(pair.monolithAppUrl, SESSION);
  try {
    for (let done = 0; done < count && !pace.signal?.aborted; done++) {
      if (pace.pauseMs !== undefined) await sleep(pace.pauseMs);
      const parts = Array.from({ length: 1 + pick(3) }, (_, index) =>
        (KINDS[pick(KINDS.length)] as (typeof KINDS)[number])(pick, `L${seed}-${done}-${index}`),
      );
      const end = pick(12) === 0 ? 'ROLLBACK' : 'COMMIT';
      await client.query(`BEGIN; ${parts.join('; ')}; ${end}`).catch(async (error: unknown) => {
        // Keys collide and deadlocks happen: that is part of the load.
        if (!/^(23|40)/.test(sqlState(error) ?? '')) throw error;
        await client.query('ROLLBACK');
      });
    }
  } finally {
    await client.end();
  }
}

/** Both sides' categories and products, to compare. */
export async function shopViews(pair: Pair): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const { monolith, service } = await pair.views();
  const mine = await pair.monolith.query<object>(
    'SELECT cat_id AS id, nm AS title, par_id AS parent FROM cat ORDER BY 1',
  );
  const theirs = await pair.service.query<object>(
    'SELECT id, title, parent_id AS parent FROM category ORDER BY 1',
  );
  return { monolith: [...monolith, ...mine.rows], service: [...service, ...theirs.rows] };
}
