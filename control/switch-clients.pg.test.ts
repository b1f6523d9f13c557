// A switch among clients of every kind, each of which has lost somebody a write before: transactions left
// open across it, old snapshots, batch jobs, refused and repeated writes, locks in the opposite order, and
// machines whose clocks are hours apart. All of it through real facades and commands, under load.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { request } from 'undici';
import { connect } from '../core/postgres/connect.ts';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { SESSION } from '../test/support/pair.ts';
import { World } from '../test/support/switching/world.ts';
import { certificates } from './certificates.ts';

const HOUR_MS = 3_600_000;
const SKEWS = { facade: [HOUR_MS, -HOUR_MS], sync: [-2 * HOUR_MS], coordinator: [3 * HOUR_MS] };

/** Options of Node's that have a process believe in another time. */
function clockOff(ms: number): string {
  const source = `const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...given) { if (given.length === 0) super(Real.now() + ${ms}); else super(...given); }
      static now() { return Real.now() + ${ms}; }
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(source)}`;
}

let world: World;

beforeAll(async () => {
  world = await World.start({
    writesPerSecond: 30,
    readsPerSecond: 20,
    retries: true,
    facade: { hold: { limit: 2, timeoutMs: 30_000 } },
    environment: (part, nth) => ({ NODE_OPTIONS: clockOff(SKEWS[part][nth] ?? 0) }),
  });
}, 240_000);

afterAll(async () => {
  await world.close();
});

async function go(to: 'canary' | 'cutover'): Promise<void> {
  await world.ready();
  const command = world.command(to);
  const code = await command.exited;
  expect([code, code === 0 ? '' : command.stdout() + command.stderr()]).toEqual([0, '']);
}

async function session(side: 'monolith' | 'service'): Promise<pg.Client> {
  return connect(
    side === 'monolith' ? world.pair.monolithAppUrl : world.pair.serviceAppUrl,
    SESSION,
  );
}

test('transactions left open across the switch delay nobody, and what they write late is refused, at either isolation level', async () => {
  const left = await Promise.all(
    ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'].map(async (level) => {
      const client = await session('monolith');
      await client.query(`BEGIN ISOLATION LEVEL ${level}; SELECT count(*) FROM item`);
      return client;
    }),
  );
  await waitFor(
    async () => {
      const { rows } = await world.pair.monolith.query<{ old: boolean }>(
        `SELECT bool_and(clock_timestamp() - xact_start > '2.2 s') AS old FROM pg_stat_activity
          WHERE application_name = $1 AND state = 'idle in transaction'`,
        [SESSION.applicationName],
      );
      return rows[0]?.old === true;
    },
    { timeoutMs: 30_000, what: 'the transactions to be old' },
  );
  await go('cutover');
  for (const client of left) {
    await expect(client.query('INSERT INTO item VALUES (-1, 1)')).rejects.toMatchObject({
      code: 'BN001',
      message: expect.stringContaining('service "catalog"'),
    });
    await client.query('ROLLBACK');
    await client.end();
  }
}, 120_000);

test('a client that is refused while writes are held tries again, and its write is there once', async () => {
  await world.ready();
  const before = world.clients?.outcomes().retried ?? 0;
  await world.stops.set('held');
  const command = world.command('canary');
  try {
    await world.stops.reached(() => command.child.exitCode !== null);
    await waitFor(() => (world.clients?.outcomes().retried ?? 0) > before + 5, {
      timeoutMs: 30_000,
      what: 'writes over the limit to be refused',
    });
  } finally {
    await world.stops.release();
  }
  expect(await command.exited).toBe(0);
}, 120_000);

test('a batch job that writes the database directly meets the fence, which names the owner; what it had committed moves along', async () => {
  const job = await session('monolith');
  const committed: number[] = [];
  const running = (async (): Promise<unknown> => {
    for (let id = 5_000_000; ; id++) {
      try {
        await job.query(
          `BEGIN; INSERT INTO item VALUES (${id}, 3); UPDATE acct SET bal = bal + 1 WHERE aid = 3; COMMIT`,
        );
      } catch (error) {
        return error;
      }
      committed.push(id);
      await sleep(2);
    }
  })();
  await go('cutover');
  const error = await running;
  expect(error).toMatchObject({
    code: 'BN001',
    hint: expect.stringContaining('Write through service "catalog" instead'),
  });
  expect(committed.length).toBeGreaterThan(10);
  const { rows } = await world.pair.service.query<{ count: string }>(
    'SELECT count(*) FROM thing WHERE id >= 5000000',
  );
  expect(Number(rows[0]?.count)).toBe(committed.length);
  await job.end();
}, 120_000);

test('an application that locks the tables in the opposite order is never the victim of a deadlock', async () => {
  await world.ready();
  const app = await session('service');
  await world.stops.set('held');
  const command = world.command('canary');
  try {
    await world.stops.reached(() => command.child.exitCode !== null);
    await app.query(
      'BEGIN; UPDATE thing SET account_id = account_id WHERE id = (SELECT min(id) FROM thing)',
    );
  } finally {
    await world.stops.release();
  }
  // The fence has the one table by now, and waits for the other.
  await waitFor(
    async () => {
      const { rows } = await world.pair.service.query(
        `SELECT 1 FROM pg_locks WHERE relation = 'thing'::regclass AND NOT granted`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, everyMs: 5, what: 'the fence to wait' },
  );
  await app.query('UPDATE account SET balance = balance WHERE id = 10; COMMIT');
  await app.end();
  expect(await command.exited).toBe(0);
}, 120_000);

test('a POST that commits at the old owner, whose answer is lost, is answered by the new one when it is sent again', async () => {
  const key = 'lost-answer';
  const send = async (): Promise<{ status: number; text: string }> => {
    const { statusCode, body } = await request(`${world.facadeUrls()[0] ?? ''}/api/items/9000000`, {
      method: 'POST',
      headers: { 'idempotency-key': key, 'x-client': 'c1' },
    });
    return { status: statusCode, text: await body.text() };
  };
  world.apps.monolith.loseAnswersTo(key);
  expect((await send()).status).toBe(502);
  await go('cutover');
  // A facade may hear a moment later that it holds no more; what it refuses is forwarded to nobody.
  const answered = async (): Promise<Awaited<ReturnType<typeof send>> | undefined> => {
    const answer = await send();
    return answer.status === 503 ? undefined : answer;
  };
  expect(await waitFor(answered, { timeoutMs: 30_000, what: 'an answer' })).toEqual({
    status: 200,
    text: '9000000 by the monolith',
  });
}, 120_000);

test('the new owner opens only once it has everything, however far behind its flow is, and clients wait for that', async () => {
  await world.ready();
  const written = (): number => world.clients?.outcomes().acknowledged.size ?? 0;
  await world.stops.set('checked');
  const command = world.command('canary');
  try {
    await world.stops.reached(() => command.child.exitCode !== null);
    // What is written from here on has yet to come to the monolith when the service is closed.
    world.stopSync();
    const before = written();
    await waitFor(() => written() > before + 5, { timeoutMs: 30_000, what: 'some writes' });
    await world.stops.release();
    const asked = new Set<string>();
    await waitFor(
      async () => {
        expect(await world.phase()).toBe('cutover');
        const { rows } = await world.pair.monolith.query<{ at: string }>(
          `SELECT query_start::text AS at FROM pg_stat_activity WHERE datname = current_database()
              AND application_name = 'banyan-coordinator' AND query LIKE '%barrier >= %'`,
        );
        for (const { at } of rows) asked.add(at);
        return asked.size > 5;
      },
      { timeoutMs: 30_000, everyMs: 5, what: 'the coordinator to wait for the flow' },
    );
  } finally {
    world.wakeSync();
    await world.stops.release();
  }
  expect(await command.exited).toBe(0);
  expect(await world.phase()).toBe('canary');
}, 120_000);

test('nothing failed, nothing is lost or doubled, and there was one owner, though the clocks were hours apart', async () => {
  expect([...(world.clients?.outcomes().failed ?? [])]).toEqual([]);
  const held = (await certificates(world.pair.db, 'catalog')).map((one) => one.held?.writes ?? 0);
  expect(Math.max(...held)).toBeGreaterThan(0);
  const { faults, history } = await world.settle();
  expect(faults).toEqual([]);
  expect(history.wrong).toEqual([]);
  expect(Math.min(history.writes.monolith, history.writes.service)).toBeGreaterThan(5);
}, 120_000);
