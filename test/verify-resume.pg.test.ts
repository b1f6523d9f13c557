// `banyan verify` as a real process that dies in its middle: the next one goes on behind the last
// finished range of keys, with the findings so far.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { connect, withClient } from '../core/postgres/connect.ts';
import { banyan, startBanyan, writeConfig, type Running } from './support/command.ts';
import { createPair, SESSION, type Pair } from './support/pair.ts';
import { equal, startSync, streaming, type RunningSync } from './support/sync.ts';

// More than one range of keys that are compared by their sums.
const ROWS = 20_000;

let pair: Pair;
let sync: RunningSync | undefined;
let config: ReturnType<typeof writeConfig>;
let running: Running | undefined;

beforeEach(async () => {
  pair = await createPair();
  const { monolith, services } = pair.connections;
  config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
  await pair.monolith.query(`INSERT INTO cat SELECT i, 'cat ' || i FROM generate_series(1, 20) i`);
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, $1::int) i`,
    [ROWS],
  );
  await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
  sync = startSync(pair, { chunkRows: 5_000 });
  await streaming(pair, 'to');
  await equal(pair);
});

afterEach(async () => {
  running?.child.kill('SIGKILL');
  await running?.exited;
  await sync?.stop();
  config.remove();
  await pair.close();
});

/** Writes into the service past the fence, as a bug of the sync would. */
async function spoil(statement: string): Promise<void> {
  await withClient(
    pair.connections.services['catalog']?.database?.applier ?? '',
    SESSION,
    (client) => client.query(statement),
  );
}

function verifying(...flags: string[]): Running {
  running = startBanyan(['--config', config.file, '--json', 'verify', 'catalog', ...flags]);
  return running;
}

interface Outcome {
  readonly rows: number;
  readonly different: number;
  readonly samples: readonly { readonly key: string[] }[];
}

/** The answer of a verification, whether or not it found something. */
async function outcomeOf(...flags: string[]): Promise<{ outcome: Outcome; stderr: string }> {
  const { stdout, stderr } = await banyan([
    ...['--config', config.file, '--json', 'verify', 'catalog'],
    ...flags,
  ]);
  const answer = JSON.parse(stdout) as Outcome & { error?: { details: Outcome } };
  return { outcome: answer.error?.details ?? answer, stderr };
}

async function firstRangeKept(): Promise<void> {
  await waitFor(
    async () => {
      const { rows } = await pair.db.raw<{ rows: unknown[] }>(
        `SELECT 1 FROM banyan.verify_step WHERE cursor IS NOT NULL AND step LIKE 'public.prd %'`,
      );
      return rows.length > 0;
    },
    { timeoutMs: 30_000, what: 'the first range to be kept' },
  );
}

/** Has `work` done while a verification has finished the first range of the products and waits at the second. */
async function inTheMiddle(work: (verify: Running) => Promise<void>): Promise<void> {
  const [first, second] = [
    await connect(pair.serviceAppUrl, SESSION),
    await connect(pair.serviceAppUrl, SESSION),
  ];
  const lock = 'BEGIN; LOCK TABLE product IN ACCESS EXCLUSIVE MODE';
  const waits = async (who: string): Promise<void> => {
    await waitFor(
      async () => {
        const { rows } = await pair.service.query(
          `SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE NOT granted AND relation = 'product'::regclass AND application_name = $1`,
          [who],
        );
        return rows.length > 0;
      },
      { timeoutMs: 30_000, what: `${who} to wait for the lock` },
    );
  };
  try {
    await first.query(lock);
    const verify = verifying();
    await waits('banyan-verify');
    // Behind the query that waits, and before the next one.
    const again = second.query(lock);
    await waits(SESSION.applicationName);
    await first.query('ROLLBACK');
    await again;
    await waits('banyan-verify');
    await work(verify);
    await second.query('ROLLBACK');
  } finally {
    await first.end();
    await second.end();
  }
}

test('a verification that is killed goes on behind its last finished range, with what it has found', async () => {
  await spoil(`UPDATE category SET title = 'spoilt' WHERE id = 3`);
  await inTheMiddle(async (verify) => {
    await firstRangeKept();
    verify.child.kill('SIGKILL');
    expect(await verify.exited).toBe(137);
  });
  // In the part that is finished, and in the part that is not.
  await spoil(`UPDATE product SET name = 'spoilt' WHERE id IN (5, ${ROWS - 5})`);
  const { outcome, stderr } = await outcomeOf('--resume');
  expect(stderr).not.toContain('anew');
  expect(outcome.rows).toBe(ROWS + 20);
  expect(outcome.samples.map(({ key }) => key[0]).sort()).toEqual(['19995', '3']);
  // Nothing is left to go on with.
  const anew = await outcomeOf('--resume', '--samples', '1');
  expect(anew.stderr).toContain('begins anew');
  expect(anew.outcome).toMatchObject({ rows: ROWS + 20, different: 3 });
  expect(anew.outcome.samples).toHaveLength(1);
}, 120_000);

test('Ctrl-C ends a verification that says how to go on; a move in between makes it begin anew', async () => {
  await inTheMiddle(async (verify) => {
    verify.child.kill('SIGINT');
    await firstRangeKept();
  });
  expect(await running?.exited).toBe(130);
  expect(running?.stdout()).toContain('INTERRUPTED');
  expect(running?.stdout()).toContain('banyan verify catalog --resume');
  await pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
  await pair.coordinator().move({ capability: 'catalog', event: 'advance', replaceTarget: true });
  await streaming(pair, 'to');
  const { outcome, stderr } = await outcomeOf('--resume');
  expect(stderr).toContain('begins anew: its data were copied anew');
  expect(outcome).toMatchObject({ rows: ROWS + 20, different: 0 });
}, 120_000);
