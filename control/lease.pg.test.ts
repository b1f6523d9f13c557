// The lease: one that was lost stops its holder before it touches what its successor has made, and one
// whose holder stands still is had by the next.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { waitFor } from '../core/lifecycle.ts';
import { startBanyan, writeConfig, type Running } from '../test/support/command.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { loseLease } from '../test/support/stand-still.ts';
import {
  advanceTo,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { withLease } from './lease.ts';

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

/** The same database, for a coordinator that stands still after it has committed this event. */
function stoppedAfter(event: string): { db: Knex; reached: Promise<void>; wake: () => void } {
  const reached = Promise.withResolvers<undefined>();
  const sleeping = Promise.withResolvers<undefined>();
  const db = new Proxy(pair.db, {
    get(target, property, receiver): unknown {
      const value: unknown = Reflect.get(target, property, receiver);
      if (property !== 'transaction') return value;
      return async (work: (db: Knex.Transaction) => Promise<unknown>) => {
        const result = await target.transaction(work);
        const last = await target('banyan.journal')
          .orderBy('id', 'desc')
          .first<{ event: string }>();
        if (last.event === event) {
          reached.resolve(undefined);
          await sleeping.promise;
        }
        return result;
      };
    },
  });
  return {
    db,
    reached: reached.promise,
    wake: () => {
      sleeping.resolve(undefined);
    },
  };
}

/** Starts a move that stands still there, its lease lost, while something happens; gives what it comes to when it wakes up. */
async function overtakenAfter(
  event: string,
  move: 'advance' | 'rollback',
  meanwhile: () => Promise<void>,
): Promise<unknown> {
  const slow = stoppedAfter(event);
  const late = pair
    .coordinator({ db: slow.db })
    .move({ capability: 'catalog', event: move })
    .catch((error: unknown) => error);
  await slow.reached;
  await loseLease(pair);
  await meanwhile();
  slow.wake();
  return late;
}

test('a coordinator that wakes up before it has built sync to leaves its successor’s flow and fence alone', async () => {
  let made: string[] = [];
  const late = await overtakenAfter('begin', 'advance', async () => {
    await advanceTo(pair, 'sync');
    made = await leftovers(pair);
  });
  expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
  expect(await leftovers(pair)).toEqual(made);
  sync = startSync(pair);
  await streaming(pair, 'to');
});

test('a coordinator that wakes up before it has built sync back leaves its successor’s alone', async () => {
  sync = startSync(pair);
  await advanceTo(pair, 'shadow');
  await streaming(pair, 'to');
  const late = await overtakenAfter('begin', 'advance', async () => {
    await advanceTo(pair, 'canary');
    await streaming(pair, 'back');
  });
  expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
  expect((await leftovers(pair)).filter((one) => one.startsWith('slot'))).toHaveLength(2);
  await streaming(pair, 'back');
});

test('a coordinator that wakes up while it tidies up leaves what its successor has begun anew', async () => {
  await advanceTo(pair, 'sync');
  let made: string[] = [];
  const late = await overtakenAfter('rollback', 'rollback', async () => {
    await advanceTo(pair, 'sync');
    made = await leftovers(pair);
  });
  expect(late).toMatchObject({ code: 'STALE_COORDINATOR' });
  expect(await leftovers(pair)).toEqual(made);
});

test('a lease is kept as long as its holder lives, and had by the next once it stands still', async () => {
  const { monolith, services } = pair.connections;
  const config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
  // It waits there for as long as it is let: the table that it must fence is locked.
  await pair.service.query('BEGIN; LOCK TABLE product IN ACCESS EXCLUSIVE MODE');
  let advance: Running | undefined;
  try {
    advance = startBanyan(['--config', config.file, 'advance', 'catalog']);
    const isHeld = async (): Promise<boolean> => {
      const { rows } = await pair.db.raw<{ rows: unknown[] }>(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'banyan-lease' AND datname = current_database()
            AND query NOT LIKE '%pg_try_advisory_lock%'`,
      );
      return rows.length > 0;
    };
    await waitFor(isHeld, { timeoutMs: 30_000, what: 'the command to have the lease' });
    const free = (): Promise<void> => Promise.resolve();
    await expect(withLease(pair.controlUrl, 'catalog', free, 7_500)).rejects.toMatchObject({
      code: 'MOVE_IN_PROGRESS',
    });
    advance.child.kill('SIGSTOP');
    await withLease(pair.controlUrl, 'catalog', free, 60_000);
  } finally {
    advance?.child.kill('SIGKILL');
    await advance?.exited;
    await pair.service.query('ROLLBACK');
    config.remove();
  }
});

test('that rows are copied again is noted by nobody while somebody moves the capability', async () => {
  await advanceTo(pair, 'sync');
  const coordinator = pair.coordinator();
  const before = await pair.store.readOne('catalog');
  await withLease(pair.controlUrl, 'catalog', async () => {
    await expect(coordinator.noteRecopy('catalog')).rejects.toMatchObject({
      code: 'MOVE_IN_PROGRESS',
    });
  });
  expect(await pair.store.readOne('catalog')).toEqual(before);
  // One that had begun to build, and died, builds no more.
  const entry = { who: 'dead', event: 'begin', why: '', evidence: {} };
  const { epoch } = await pair.store.change(before, { building: true }, entry);
  await coordinator.noteRecopy('catalog');
  expect((await pair.store.readOne('catalog')).epoch).toBeGreaterThan(epoch);
  expect((await pair.store.journal('catalog')).at(-1)).toMatchObject({ event: 'recopy' });
});
