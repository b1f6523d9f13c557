// The service's server fails over after a cutover, to a standby that lacks what the monolith has long
// applied. There is no way back to copy anew from: one command goes on in place.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { ask, openReplicated, recopied, type Replicated } from '../test/support/failover.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  equal,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { databaseOf } from './schemas.ts';

let target: Replicated;
let pair: Pair;
let sync: RunningSync | undefined;
let catalog: string;

beforeEach(async () => {
  target = await openReplicated();
  pair = await createPair({
    servers: { service: target.url },
    schemas: {
      monolith: `CREATE TABLE m (id integer PRIMARY KEY, kind text NOT NULL, nm text, stk integer NOT NULL DEFAULT 0)`,
      service: `CREATE TABLE s (id integer PRIMARY KEY, nm text, stock integer NOT NULL DEFAULT 0)`,
    },
    capability: {
      tables: [
        {
          ...{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { nm: 'nm' } },
          ...{ stays: { stk: { to: 'stock', default: 0 } }, where: { kind: 'book' } },
        },
      ],
    },
  });
  catalog = await databaseOf(pair.service);
  await pair.monolith.query(
    `INSERT INTO m SELECT i, CASE WHEN i > 8 THEN 'cd' ELSE 'book' END, 'n', i * 10 FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  sync = startSync(pair, { chunkRows: 3 });
  await advanceTo(pair, 'cutover');
});

afterEach(async () => {
  await sync?.stop();
  await pair.close();
  await target.remove();
});

test('what the new server lost goes, what it has is copied, and the monolith’s own stays', async () => {
  const { primary, standby } = target;
  await target.slotIsCopied();
  await target.fallBehind();
  await ask(
    primary.url(catalog),
    `INSERT INTO s VALUES (20, 'lost'); UPDATE s SET nm = 'lost' WHERE id = 1; DELETE FROM s WHERE id = 2`,
  );
  const own = async (): Promise<unknown[]> =>
    (await pair.monolith.query<object>('SELECT id, kind, nm, stk FROM m ORDER BY id')).rows;
  await waitFor(async () => JSON.stringify(await own()).includes('"nm":"lost"'), {
    timeoutMs: 30_000,
    what: 'the monolith to have what will be lost',
  });
  await target.failOver();
  await ask(
    standby.url(catalog),
    `INSERT INTO s VALUES (30, 'new'); UPDATE s SET nm = 'new' WHERE id = 3`,
  );
  await waitFor(async () => (await stopped(pair, 'back')).code === 'FLOW_STOPPED', {
    timeoutMs: 30_000,
    what: 'the flow to stop',
  });
  expect((await stopped(pair, 'back')).error).toContain('banyan sync recopy');
  expect(await recopied(pair)).toEqual(['back']);
  await streaming(pair, 'back');
  await equal(pair, async () => ({
    monolith: (
      await pair.monolith.query<object>(`SELECT id, nm FROM m WHERE kind = 'book' ORDER BY id`)
    ).rows,
    service: await ask(standby.url(catalog), 'SELECT id, nm FROM s ORDER BY id'),
  }));
  expect((await own()).slice(0, 3)).toEqual([
    { id: 1, kind: 'book', nm: 'n', stk: 10 },
    { id: 2, kind: 'book', nm: 'n', stk: 0 },
    { id: 3, kind: 'book', nm: 'new', stk: 30 },
  ]);
  expect((await own()).slice(8)).toEqual([
    { id: 9, kind: 'cd', nm: 'n', stk: 90 },
    { id: 10, kind: 'cd', nm: 'n', stk: 100 },
    { id: 30, kind: 'book', nm: 'new', stk: 0 },
  ]);
  // Nothing is left to be decided.
  expect(await recopied(pair)).toEqual([]);
  await ask(standby.url(catalog), `UPDATE s SET nm = 'on' WHERE id = 4`);
  await streaming(pair, 'back');
  expect(await own()).toContainEqual({ id: 4, kind: 'book', nm: 'on', stk: 40 });
}, 180_000);
