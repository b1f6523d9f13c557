// A coordinator that stands still exactly between its last look and a step that no row guards: another login
// takes it, or the row is gone. Woken up once its successor has built anew, it takes nothing away.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connect } from '../core/postgres/connect.ts';
import { waitFor } from '../core/lifecycle.ts';
import { overtaken } from '../test/support/coordinators.ts';
import { cases } from '../test/support/long.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { stopAt, type Stop } from '../test/support/stand-still.ts';
import {
  advanceTo,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { flowNames } from './domain/names.ts';
import { outlastLateSteps, takeAway } from './late-steps.ts';
import { Participant } from './participant.ts';
import { dropSlot } from './slots.ts';

let pair: Pair;
let sync: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

/** What of ours is in both databases, and the origin of sync to. */
async function all(): Promise<string[]> {
  const { rows } = await pair.service.query<{ name: string }>(
    'SELECT roname AS name FROM pg_replication_origin WHERE roname = $1',
    [
      flowNames('catalog', 'to', {
        source: pair.monolith.database ?? '',
        target: pair.service.database ?? '',
      }).origin,
    ],
  );
  return [...(await leftovers(pair)), ...rows.map(({ name }) => `origin ${name}`)].sort();
}

const STEPS = [
  ['before it looks whether it may take the slot', /SET LOCAL idle_in_transaction_session_timeout/],
  ['before it takes the slot', /pg_drop_replication_slot/],
  ['before it takes the origin', /pg_replication_origin_drop/],
] as const;

test.each(cases(STEPS, STEPS[1], STEPS[2]))(
  'stopped %s, and woken when another has built anew, it leaves all as it is',
  async (_, pattern) => {
    sync = startSync(pair);
    await advanceTo(pair, 'sync');
    await streaming(pair, 'to');
    let made: string[] = [];
    const late = await overtaken(pair, pattern, { event: 'rollback' }, async () => {
      await advanceTo(pair, 'sync');
      await streaming(pair, 'to');
      // Nobody reads the slot or has the origin at this moment: nothing but the epoch keeps the late one out.
      await sync?.stop();
      made = await all();
    });
    expect(made.filter((one) => /^(slot|origin)/.test(one))).toHaveLength(2);
    expect(late).toBeInstanceOf(Error);
    expect(await all()).toEqual(made);
    sync = startSync(pair);
    await streaming(pair, 'to');
  },
);

test('where the row is gone, one that stopped before it took a trigger away loses its session to who builds anew', async () => {
  await advanceTo(pair, 'sync');
  const { epoch } = await pair.store.readOne('catalog');
  const late = await openService();
  const other = await openService();
  // The last statement that is no part of the step itself.
  const before = stopAt(/pg_partition_tree/);
  let inside: Stop | undefined;
  try {
    const taking = late.remove(epoch).catch((error: unknown) => error);
    await before.reached;
    await other.remove(epoch);
    // Its look that follows finds no row to compare with.
    inside = stopAt(/DROP TRIGGER IF EXISTS "?banyan_fence_insert/);
    before.wake();
    await inside.reached;
    await other.prepare(epoch + 1);
    expect(await other.fence('monolith', epoch + 1)).toBe(true);
    const made = await leftovers(pair);
    expect(made.join()).toContain('banyan_fence_insert');
    inside.wake();
    expect(await taking).toBeInstanceOf(Error);
    expect(await leftovers(pair)).toEqual(made);
  } finally {
    inside?.restore();
    before.restore();
    await late.close();
    await other.close();
  }
});

function openService(): Promise<Participant> {
  const { catalog } = pair.migration.capabilities;
  const logins = pair.connections.services['catalog']?.database;
  if (!catalog || !logins) throw new Error('the pair has a service');
  return Participant.open({
    capability: 'catalog',
    side: 'service',
    tables: catalog.tables,
    logins,
    labels: { monolith: 'the monolith', service: 'service "catalog"' },
  });
}

test('who builds waits for a step that is under way, and a later one sees that it comes too late', async () => {
  const slow = await connect(pair.monolithAppUrl, SESSION);
  const builder = await connect(pair.monolithAppUrl, SESSION);
  const order: string[] = [];
  const going = Promise.withResolvers<undefined>();
  const under = takeAway(
    slow,
    () => Promise.resolve(),
    async () => {
      await going.promise;
      order.push('taken away');
    },
  );
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the step to be under way' },
  );
  const built = outlastLateSteps(builder).then(() => order.push('built'));
  await waitFor(
    async () => {
      const { rows } = await pair.monolith.query(
        `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the builder to wait' },
  );
  going.resolve(undefined);
  await under;
  await built;
  expect(order).toEqual(['taken away', 'built']);
  const outdated = new Error('too late');
  await expect(
    dropSlot(pair.connections.monolith.database?.capture ?? '', 'any', 'reader', () =>
      Promise.reject(outdated),
    ),
  ).rejects.toBe(outdated);
  await slow.end();
  await builder.end();
});
