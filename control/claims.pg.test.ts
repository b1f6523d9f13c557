// A capability that gets another name in the definition while it is under way: under the new one nothing of
// the old is taken down or overwritten, and everybody who can tell says what has happened.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isBanyanError } from '../core/errors.ts';
import { withClient } from '../core/postgres/connect.ts';
import { preflight } from '../sync/preflight.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { defineMigration } from './define.ts';
import type { Migration } from './definition.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('one', 'n', 1)`);
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** The same definition, and "catalog" has this name. */
function renamed(to: string): Migration {
  const { catalog } = pair.migration.capabilities;
  return defineMigration({
    ...pair.migration,
    capabilities: { ...(catalog && { [to]: catalog }) },
  });
}

async function hasTable(migration: Migration): Promise<{ code: string; hint: string }> {
  const [id = ''] = Object.keys(migration.capabilities);
  const refused: unknown = await pair
    .coordinator({ migration })
    .move({ capability: id, event: 'advance', replaceTarget: true })
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  if (!isBanyanError(refused)) throw new Error('it was not refused', { cause: refused });
  return { code: refused.code, hint: `${refused.message} ${refused.hint ?? ''}` };
}

test('a new name in cutover gets no table: the fence stands, what the service wrote stays', async () => {
  await advanceTo(pair, 'cutover');
  await streaming(pair, 'back');
  await sync?.stop();
  sync = undefined;
  await withClient(pair.serviceAppUrl, SESSION, (client) =>
    client.query(
      `INSERT INTO product (sku, name, price_cents, state) VALUES ('new', 'acknowledged', 1, 'active')`,
    ),
  );
  const migration = renamed('moorings');
  const { code, hint } = await hasTable(migration);
  expect(code).toBe('PREFLIGHT_FAILED');
  expect(hint).toMatch(
    /table public\.prd is capability "catalog"'s.*banyan rollback catalog --to monolith/,
  );
  // The caretaker of a process that knows the new name only leaves it alone, too.
  expect(await pair.coordinator({ migration }).tidy('moorings')).toBe(false);
  expect((await pair.service.query('SELECT sku FROM product ORDER BY sku')).rows).toEqual([
    { sku: 'new' },
    { sku: 'one' },
  ]);
  await expect(
    withClient(pair.monolithAppUrl, SESSION, (client) =>
      client.query(`INSERT INTO prd (no, nm, prc) VALUES ('lost', 'n', 1)`),
    ),
  ).rejects.toMatchObject({ code: 'BN001' });
  const errors = (await preflight(migration, pair.connections)).filter(
    ({ severity }) => severity === 'error',
  );
  expect(errors.map(({ what }) => what).join('\n')).toMatch(
    /table public\.product is capability "catalog"'s/,
  );
  expect(await pair.store.othersThan(['moorings'])).toMatchObject([
    { capability: 'catalog', phase: 'cutover' },
  ]);
});

test('back in the monolith it may be renamed', async () => {
  await streaming(pair, 'to');
  expect((await hasTable(renamed('moorings'))).code).toBe('PREFLIGHT_FAILED');
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  expect(await leftovers(pair)).toEqual([]);
  expect(await pair.store.othersThan(['moorings'])).toEqual([]);
  const migration = renamed('moorings');
  const coordinator = pair.coordinator({ migration });
  await coordinator.move({ capability: 'moorings', event: 'advance', replaceTarget: true });
  expect((await pair.store.readOne('moorings')).phase).toBe('sync');
  await coordinator.move({ capability: 'moorings', event: 'rollback' });
  expect(await leftovers(pair)).toEqual([]);
});
