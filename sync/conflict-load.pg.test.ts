// Two applications that write the same rows at once, under each policy, while the sessions of sync are
// killed.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import type { ConflictPolicy } from '../control/domain/conflicts.ts';
import { conflicts, openCanary, settled, type Canary } from '../test/support/sharing.ts';
import { equal } from '../test/support/sync.ts';
import { shopViews } from '../test/support/load.ts';
import { writeAt } from '../test/support/two-writers.ts';

let canary: Canary;

afterEach(async () => {
  await canary.close();
});

/** Ends one session of sync now and then. */
async function kill(clients: readonly pg.Client[], over: AbortSignal): Promise<number> {
  let killed = 0;
  while (!over.aborted) {
    await sleep(400, over);
    for (const client of clients) {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name ~ '^banyan-(apply|capture|read)' ORDER BY random() LIMIT 1`,
      );
      killed += rowCount ?? 0;
    }
  }
  return killed;
}

const LOAD_MS = Number(process.env['LOAD_MS'] ?? 2_000);

test.each<[string, ConflictPolicy]>([
  ['owner-wins', 'owner-wins'],
  ['last-writer-wins', 'last-writer-wins'],
  ['a function', ({ key }) => (Number(Object.values(key)[0]) % 2 === 0 ? 'service' : 'owner')],
])(
  'both sides end equal after random writes to the same rows, while sync is killed: %s',
  async (_, policy) => {
    canary = await openCanary(policy);
    const { pair } = canary;
    const over = new AbortController();
    const seed = Number(process.env['SEED'] ?? 7);
    const running = Promise.all([
      writeAt('monolith', pair, seed, over.signal),
      writeAt('service', pair, seed + 1, over.signal),
      writeAt('service', pair, seed + 2, over.signal),
      kill([pair.monolith, pair.service], over.signal),
    ]);
    await sleep(LOAD_MS);
    over.abort();
    const [owner, one, two, killed] = await running;
    await settled(pair);
    await settled(pair);
    await equal(pair, () => shopViews(pair));
    expect(Math.min(owner, one, two)).toBeGreaterThan(30);
    expect(killed).toBeGreaterThan(3);
    const judged = await conflicts(pair);
    expect(judged.length).toBeGreaterThan(10);
    expect(judged.some(({ verdict }) => verdict === 'service')).toBe(policy !== 'owner-wins');
    const { rows } = await pair.service.query('SELECT count(*)::int AS n FROM banyan.flight');
    expect(rows).toEqual([{ n: 0 }]);
  },
  40_000 + LOAD_MS,
);
