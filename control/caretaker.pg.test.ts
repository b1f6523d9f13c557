// The caretaker: no capability keeps another waiting, and what it cannot do yet it says and tries again.
import { afterEach, expect, test } from '@jest/globals';
import { connect, withClient } from '../core/postgres/connect.ts';
import { supervise, waitFor } from '../core/lifecycle.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, leftovers } from '../test/support/sync.ts';
import { caretakerPart, type CaretakerOptions } from './caretaker.ts';
import { withLease } from './lease.ts';

let pair: Pair | undefined;
let end: (() => Promise<void>) | undefined;

afterEach(async () => {
  await end?.();
  end = undefined;
  await pair?.close();
  pair = undefined;
});

/** Runs one; gives what it logs. */
function start(options: Omit<CaretakerOptions, 'log'>): string[] {
  const said: string[] = [];
  const take = (message: string, facts: unknown): void => {
    said.push(`${message} ${JSON.stringify(facts)}`);
  };
  const stop = new AbortController();
  const log = { info: take, warn: take, error: take } as never;
  const running = supervise([caretakerPart({ ...options, log })], stop.signal);
  end = async () => {
    stop.abort();
    await running;
  };
  return said;
}

const PARTITIONED = {
  schemas: {
    monolith: 'CREATE TABLE ev (id integer PRIMARY KEY, v text)',
    service: `CREATE TABLE ev (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10)`,
  },
  capability: {
    tables: [{ monolith: 'ev', service: 'ev', key: { id: 'id' }, columns: { v: 'v' } }],
  },
};

test('a partition whose lock is not to be had is named with who is in the way, and fenced once it is free', async () => {
  const own = (pair = await createPair(PARTITIONED));
  await advanceTo(own, 'sync');
  const app = await connect(own.serviceAppUrl, SESSION);
  try {
    await app.query('CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20)');
    await app.query('BEGIN; LOCK TABLE ev_2 IN ROW EXCLUSIVE MODE');
    const { store } = own;
    const said = start({ coordinator: own.coordinator(), store, capabilities: ['catalog'] });
    const says = (pattern: RegExp): Promise<boolean> =>
      waitFor(() => said.some((line) => pattern.test(line)), {
        ...{ timeoutMs: 30_000, what: `${String(pattern)} to be said` },
      });
    await says(/has a gap.*public\.ev_2.*pid \d+/);
    await app.query('ROLLBACK');
    await says(/fenced new partitions.*public\.ev_2/);
    await expect(app.query('TRUNCATE ev_2')).rejects.toMatchObject({ code: 'BN001' });
    expect(said.filter((line) => line.includes('could not be looked after'))).toEqual([]);
  } finally {
    await app.end();
  }
});

test('looking at fences takes no lease: only where one has a gap it waits for whoever moves the capability', async () => {
  const own = (pair = await createPair(PARTITIONED));
  await advanceTo(own, 'sync');
  const coordinator = own.coordinator();
  await withLease(own.controlUrl, 'catalog', async () => {
    expect(await coordinator.mendFences('catalog')).toEqual([]);
    await own.service.query('ALTER TABLE ev_1 DISABLE TRIGGER banyan_fence_insert');
    await expect(coordinator.mendFences('catalog')).rejects.toMatchObject({
      code: 'MOVE_IN_PROGRESS',
    });
  });
  const mended = await coordinator.mendFences('catalog');
  expect(mended.flatMap(({ restored }) => restored)).toEqual(['public.ev_1']);
});

test('what one that woke up late has left is removed, although nothing has moved since', async () => {
  const own = (pair = await createPair(PARTITIONED));
  const { store } = own;
  const coordinator = own.coordinator();
  let looks = 0;
  const counting = {
    recover: (id: string) => coordinator.recover(id),
    mendFences: (id: string) => coordinator.mendFences(id),
    keepUpToDate: (id: string) => coordinator.keepUpToDate(id),
    tidy: async (id: string) => {
      const found = await coordinator.tidy(id);
      looks += 1;
      return found;
    },
  } as never;
  start({ coordinator: counting, store, capabilities: ['catalog'], tidyAgainMs: 500 });
  await waitFor(() => looks > 0, { timeoutMs: 30_000, what: 'the first look' });
  await withClient(own.connections.monolith.database?.coordinator ?? '', SESSION, (client) =>
    client.query('CREATE PUBLICATION banyan_catalog_to FOR TABLE ev'),
  );
  await waitFor(async () => (await leftovers(own)).length === 0, {
    ...{ timeoutMs: 30_000, what: 'the publication to be gone' },
  });
});

test('a capability whose databases do not answer keeps no other one waiting', async () => {
  const looks = { hangs: 0, lives: 0 };
  const over = Promise.withResolvers<undefined>();
  const coordinator = {
    recover: async (capability: 'hangs' | 'lives') => {
      looks[capability] += 1;
      if (capability === 'hangs') await over.promise;
      return false;
    },
    tidy: () => Promise.resolve(false),
    mendFences: () => Promise.resolve([]),
    keepUpToDate: () => Promise.resolve(),
  } as never;
  const store = { readOne: () => Promise.resolve({ phase: 'sync', version: 1 }) } as never;
  start({ coordinator, store, capabilities: ['hangs', 'lives'] });
  await waitFor(() => looks.lives > 2, { timeoutMs: 30_000, what: 'three looks at the other' });
  expect(looks.hangs).toBe(1);
  over.resolve(undefined);
});
