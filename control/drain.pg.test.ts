// The drain of a switch waits for rows that must be read again, and they still reach the new owner
// although the stream has passed the barrier by then.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import type { ChangeLog } from '../sync/change-log.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair?.close();
});

test('a row whose key moved without its long text, just before the fence, is complete at the new owner', async () => {
  const own = (pair = await createPair());
  let gate: PromiseWithResolvers<undefined> | undefined;
  const gated = (log: ChangeLog): ChangeLog => ({
    timeline: log.timeline,
    acknowledge: (endLsn) => {
      log.acknowledge(endLsn);
    },
    close: () => log.close(),
    read: async (signal) => {
      const pieces = await log.read(signal);
      await gate?.promise;
      return pieces;
    },
  });
  await own.monolith.query(`
    ALTER TABLE prd ALTER COLUMN dsc SET STORAGE EXTERNAL;
    INSERT INTO prd (no, nm, dsc, prc) SELECT 'N' || i, 'name', repeat('long ', 4000), 1 FROM generate_series(1, 5) i`);
  sync = startSync(own, { wrapLog: gated });
  await advanceTo(own, 'canary');
  await streaming(own, 'to');
  await streaming(own, 'back');
  await equal(own);
  await noteClean(own);

  const coordinator = own.coordinator({
    onStep: async (step) => {
      if (step !== 'checked') return;
      gate = Promise.withResolvers();
      await own.monolith.query('UPDATE prd SET prd_id = 5000 WHERE prd_id = 3');
    },
  });
  const moving = coordinator.move({ capability: 'catalog', event: 'advance' });
  await waitFor(
    async () => {
      const { rows } = await own.monolith.query<{ owns: boolean }>(
        'SELECT owns FROM banyan.ownership',
      );
      return rows[0]?.owns === false;
    },
    { timeoutMs: 30_000, what: 'the fence to stand' },
  );
  gate?.resolve(undefined);
  gate = undefined;
  expect(await moving).toMatchObject({ to: 'cutover' });
  const { rows } = await own.service.query(
    'SELECT length(body) AS length FROM product_text WHERE product_id = 5000',
  );
  expect(rows).toEqual([{ length: 20_000 }]);
  await equal(own);
});

test('a switch is undone when a table has begun to be copied again', async () => {
  const own = (pair = await createPair());
  await own.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('N', 'name', 1)`);
  sync = startSync(own);
  await advanceTo(own, 'canary');
  await streaming(own, 'to');
  await streaming(own, 'back');
  await noteClean(own);
  const coordinator = own.coordinator({
    onStep: async (step) => {
      if (step === 'checked')
        await own.service.query(
          `UPDATE banyan.backfill SET stage = 'copy' WHERE flow = 'catalog:to' AND source_table = 'public.prd'`,
        );
    },
  });
  await expect(coordinator.move({ capability: 'catalog', event: 'advance' })).rejects.toMatchObject(
    {
      code: 'SWITCH_UNDONE',
      message: expect.stringContaining('is copying public.prd') as unknown as string,
    },
  );
  expect((await own.store.readOne('catalog')).phase).toBe('canary');
  await own.monolith.query(`UPDATE prd SET nm = 'still the owner'`);
});
