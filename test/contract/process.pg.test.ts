// Both apps as real processes: what they print, and how they end.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { call, startCatalog, startMonolith, withClient, type RunningApp } from './sample.ts';

const SAMPLES = [
  { name: 'monolith', main: '../../monolith/main.ts', start: () => startMonolith(), lock: 'prd' },
  {
    name: 'catalog',
    main: '../../extracted/catalog/main.ts',
    start: startCatalog,
    lock: 'product',
  },
];

// Not pg_stat_activity: inside a transaction it goes on showing what it showed first.
const WAITING = `SELECT 1 FROM pg_locks WHERE NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

test.each(SAMPLES)(
  'runs $name, finishes the request in flight at SIGTERM and exits 0',
  async ({ name, main, start, lock }) => {
    const sample = await start();
    const child = launch(main, sample);
    try {
      const url = await listening(child, name);
      const category = { code: 'HOME', name: 'Home' };
      expect((await call({ url }, 'POST', '/api/categories', category)).status).toBe(201);
      await withClient(sample.databaseUrl, async (client) => {
        await client.query(`BEGIN; LOCK TABLE ${lock}`);
        const inFlight = call({ url }, 'POST', '/api/products', {
          number: 'A-1',
          name: 'lamp',
          price: '1.00',
          categoryId: 1,
          kind: 'GOOD',
        });
        await until(async () => (await client.query(WAITING)).rowCount === 1);
        child.kill('SIGTERM');
        await until(() =>
          call({ url }, 'GET', '/healthz').then(
            () => false,
            () => true,
          ),
        );
        await client.query('COMMIT');
        expect((await inFlight).status).toBe(201);
      });
      await ended(child);
      expect(child.exitCode).toBe(0);
    } finally {
      child.kill('SIGKILL');
      await sample.stop();
    }
  },
);

test.each(SAMPLES)('ends $name at once at a second signal', async ({ name, main, start, lock }) => {
  const sample = await start();
  const child = launch(main, sample);
  try {
    const url = await listening(child, name);
    await withClient(sample.databaseUrl, async (client) => {
      await client.query(`BEGIN; LOCK TABLE ${lock}`);
      const inFlight = call({ url }, 'GET', '/api/products/1').then(
        () => 'answered',
        () => 'cut off',
      );
      await until(async () => (await client.query(WAITING)).rowCount === 1);
      child.kill('SIGINT');
      await until(() =>
        call({ url }, 'GET', '/healthz').then(
          () => false,
          () => true,
        ),
      );
      child.kill('SIGTERM');
      await ended(child);
      expect(child.exitCode).toBe(1);
      expect(await inFlight).toBe('cut off');
    });
  } finally {
    child.kill('SIGKILL');
    await sample.stop();
  }
});

function launch(main: string, sample: RunningApp): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(new URL(main, import.meta.url))], {
    env: { ...process.env, DATABASE_URL: sample.databaseUrl, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The URL in the one line that the process prints. */
async function listening(child: ChildProcess, name: string): Promise<string> {
  if (!child.stdout) throw new Error('no stdout');
  for await (const line of createInterface(child.stdout)) {
    const url = line.slice(`${name} listening on `.length);
    expect(line).toBe(`${name} listening on ${url}`);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    return url;
  }
  throw new Error(`${name} ended before it listened`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition()))
    if (performance.now() > deadline) throw new Error('the condition never came true');
}
