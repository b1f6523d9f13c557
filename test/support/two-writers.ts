// Two applications on the small shop that get in each other's way as often as they can: few keys, few
// values that come again, unique and foreign keys that collide.
import { sleep } from '../../core/lifecycle.ts';
import { connect, sqlState } from '../../core/postgres/connect.ts';
import { SESSION, type Pair } from './pair.ts';
import { randomOf } from './random.ts';

type Pick = (below: number) => number;

const MONOLITH: readonly ((pick: Pick) => string)[] = [
  (pick) => `UPDATE prd SET nm = 'o${pick(3)}', stk = stk + 1 WHERE prd_id = ${pick(20)}`,
  (pick) => `UPDATE prd SET dsc = repeat('o', ${pick(3)} * 900) WHERE prd_id = ${pick(20)}`,
  (pick) => `UPDATE prd SET stk = stk + 1 WHERE prd_id = ${pick(20)}`,
  (pick) =>
    `UPDATE prd SET prc = ${pick(9)}, cat_id = (SELECT min(cat_id) FROM cat WHERE cat_id >= ${pick(6)}) WHERE prd_id % 5 = ${pick(5)}`,
  (pick) => `INSERT INTO prd (prd_id, no, nm, prc) VALUES (${pick(20)}, 'S${pick(15)}', 'o', 1)`,
  (pick) => `DELETE FROM prd WHERE prd_id = ${pick(20)}`,
  (pick) => `UPDATE prd SET prd_id = ${pick(20)} WHERE prd_id = ${pick(20)}`,
  (pick) =>
    `INSERT INTO cat VALUES (${pick(6)}, 'o') ON CONFLICT (cat_id) DO UPDATE SET nm = 'o${pick(2)}'`,
  (pick) => {
    const id = pick(6);
    return `UPDATE prd SET cat_id = NULL WHERE cat_id = ${id}; DELETE FROM cat WHERE cat_id = ${id}`;
  },
];

const SERVICE: readonly ((pick: Pick) => string)[] = [
  (pick) => `UPDATE product SET name = 's${pick(3)}' WHERE id = ${pick(20)}`,
  (pick) => `UPDATE product SET name = 's${pick(3)}', updated_at = now() WHERE id = ${pick(20)}`,
  (pick) =>
    `INSERT INTO product_text VALUES (${pick(20)}, 's') ON CONFLICT (product_id) DO UPDATE SET body = repeat('s', ${pick(3)} * 900)`,
  (pick) => `DELETE FROM product_text WHERE product_id = ${pick(20)}`,
  (pick) =>
    `UPDATE product SET price_cents = ${pick(9)} * 100, category_id = (SELECT min(id) FROM category WHERE id >= ${pick(6)}) WHERE id % 5 = ${pick(5)}`,
  (pick) => {
    const id = pick(20);
    return `INSERT INTO product (id, sku, name, price_cents, state) VALUES (${id}, 'S${pick(15)}', 's', 1, 'active'); INSERT INTO product_text VALUES (${id}, 'new')`;
  },
  (pick) => `DELETE FROM product WHERE id = ${pick(20)}`,
  (pick) => `SAVEPOINT s; UPDATE product SET name = 'sub' WHERE id = ${pick(20)}; RELEASE s`,
  (pick) =>
    `INSERT INTO category VALUES (${pick(6)}, 's') ON CONFLICT (id) DO UPDATE SET title = 's${pick(2)}'`,
  (pick) => {
    const id = pick(6);
    return `UPDATE product SET category_id = NULL WHERE category_id = ${id}; DELETE FROM category WHERE id = ${id}`;
  },
];

/** Random transactions of one side, at most `pauseMs` apart, on a connection of its own; says each that was committed. */
export async function writeAt(
  side: 'monolith' | 'service',
  pair: Pair,
  seed: number,
  over: AbortSignal,
  { pauseMs = 12, onCommit = () => undefined }: { pauseMs?: number; onCommit?: () => void } = {},
): Promise<void> {
  const [url, kinds] =
    side === 'monolith' ? [pair.monolithAppUrl, MONOLITH] : [pair.serviceAppUrl, SERVICE];
  const random = randomOf(seed);
  const pick: Pick = (below) => Math.floor(random() * below);
  const client = await connect(url, SESSION);
  try {
    while (!over.aborted) {
      const parts = Array.from({ length: 1 + pick(2) }, () =>
        (kinds[pick(kinds.length)] as (pick: Pick) => string)(pick),
      );
      try {
        await client.query(`BEGIN; ${parts.join('; ')}; COMMIT`);
        onCommit();
      } catch (error) {
        if (!/^(23|40)/.test(sqlState(error) ?? '')) throw error;
        await client.query('ROLLBACK');
      }
      await sleep(pick(pauseMs));
    }
  } finally {
    await client.end();
  }
}
