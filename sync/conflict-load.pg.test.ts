// Two applications that write the same rows at once, under each policy, while the sessions of sync are
// killed.
import { afterEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { sleep, waitFor } from '../core/lifecycle.ts';
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
async function kill(
  clients: readonly pg.Client[],
  over: AbortSignal,
  onKill: () => void,
): Promise<void> {
  while (!over.aborted) {
    await sleep(400, over);
    for (const client of clients) {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name ~ '^banyan-(apply|capture|read)' ORDER BY random() LIMIT 1`,
      );
      if (rowCount) onKill();
    }
  }
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
    const committed = [0, 0, 0];
    let killed = 0;
    const running = Promise.all([
      ...(['monolith', 'service', 'service'] as const).map((side, nth) => {
        const onCommit = (): void => {
          committed[nth] = (committed[nth] ?? 0) + 1;
        };
        return writeAt(side, pair, seed + nth, over.signal, { onCommit });
      }),
      kill([pair.monolith, pair.service], over.signal, () => (killed += 1)),
    ]);
    await sleep(LOAD_MS);
    await waitFor(() => Math.min(...committed) > 30 && killed > 3, {
      ...{ timeoutMs: 60_000, what: 'enough writes and kills' },
    });
    over.abort();
    await running;
    await settled(pair);
    await settled(pair);
    await equal(pair, () => shopViews(pair));
    const judged = await conflicts(pair);
    expect(judged.some(({ verdict }) => verdict === 'service')).toBe(policy !== 'owner-wins');
    const { rows } = await pair.service.query('SELECT count(*)::int AS n FROM banyan.flight');
    expect(rows).toEqual([{ n: 0 }]);
  },
  150_000 + LOAD_MS,
);
