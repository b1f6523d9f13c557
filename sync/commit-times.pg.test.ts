// What a flow writes is as old at the target as the source says: conflicts are decided by that, and whoever
// reads the target's changes is told so.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { flowNames } from '../control/domain/names.ts';
import { appliersOf, letters } from '../test/support/mapped.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  logGate,
  startSync,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';
import { retryLetters } from './letter-box.ts';
import { databaseOf } from './schemas.ts';

let pair: Pair;
let gate: LogGate;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function begin(): Promise<void> {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc, dsc) SELECT 'N' || i, 'n', 1, 't' FROM generate_series(1, 4) i`,
  );
  await advanceTo(pair, 'sync');
  gate = logGate();
  sync = startSync(pair, { wrapLog: (log) => gate.wrap(log) });
  await streaming(pair, 'to');
}

const TABLES = {
  monolith: { table: 'prd', key: 'prd_id' },
  service: { table: 'product', key: 'id' },
};

/** When a row was written, Unix ms. */
async function written(side: 'monolith' | 'service', id: number): Promise<number> {
  const { table, key } = TABLES[side];
  const { rows } = await pair[side].query<{ ms: string }>(
    `SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000 AS ms FROM ${table} WHERE ${key} = $1`,
    [id],
  );
  return Number(rows[0]?.ms);
}

/** Changes products one by one; each is applied only when it is older than what `sameAge` forgives. */
async function late(
  side: 'monolith' | 'service',
  ids: readonly number[],
  set: string,
): Promise<void> {
  const { table, key } = TABLES[side];
  for (const id of ids) {
    gate.shut();
    await pair[side].query(`UPDATE ${table} SET ${set} WHERE ${key} = ${id}`);
    await waitFor(async () => Date.now() - (await written(side, id)) > 20, {
      ...{ timeoutMs: 30_000, what: 'the change to be old' },
    });
    gate.open();
    await equal(pair);
  }
}

async function sameAge(ids: readonly number[]): Promise<void> {
  for (const id of ids) {
    const apart = (await written('monolith', id)) - (await written('service', id));
    expect(Math.abs(apart)).toBeLessThan(2);
  }
}

test('rows are as old at the service as they are at the monolith, and the other way after a cutover', async () => {
  await begin();
  await late('monolith', [1, 2, 3], `nm = 'to'`);
  await sameAge([1, 2, 3]);
  await advanceTo(pair, 'cutover');
  await late('service', [1, 2, 3], `name = 'back'`);
  await sameAge([1, 2, 3]);
});

test('the origin stands where the checkpoint does', async () => {
  await begin();
  await pair.monolith.query(`UPDATE prd SET nm = 'on' WHERE prd_id = 1`);
  await equal(pair);
  const { origin } = flowNames('catalog', 'to', {
    source: await databaseOf(pair.monolith),
    target: await databaseOf(pair.service),
  });
  await waitFor(
    async () =>
      (
        await pair.service.query<{ same: boolean }>(
          `SELECT coalesce(commit_lsn = pg_replication_origin_progress($1, false), false) AS same FROM banyan.checkpoint`,
          [origin],
        )
      ).rows[0]?.same,
    { timeoutMs: 30_000, what: 'origin and checkpoint to agree' },
  );
});

test('a change that was parked is as old as it was when it is applied, and what follows is not', async () => {
  await begin();
  await pair.service.query(`ALTER TABLE product ADD CONSTRAINT cheap CHECK (price_cents < 1000)`);
  await pair.monolith.query('UPDATE prd SET prc = 5000 WHERE prd_id = 1');
  await letters(pair, 1);
  await pair.service.query('ALTER TABLE product DROP CONSTRAINT cheap');
  await retryLetters('catalog', appliersOf(pair));
  await letters(pair, 0);
  await late('monolith', [2], `nm = 'later'`);
  await sameAge([1, 2]);
});
