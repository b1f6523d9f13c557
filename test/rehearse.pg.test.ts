// `banyan rehearse --watch` as a real process: a round that fails is told, and the others are added up.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { banyan, startBanyan, writeConfig, type Running } from './support/command.ts';
import { createPair, type Pair } from './support/pair.ts';
import { advanceTo, startGated, streaming } from './support/sync.ts';

let pair: Pair;
let config: ReturnType<typeof writeConfig>;
let watch: Running | undefined;

beforeEach(async () => {
  pair = await createPair({ facade: { hold: { timeoutMs: 5_000 } } });
  await advanceTo(pair, 'sync');
  const { monolith, services } = pair.connections;
  config = writeConfig({ ...pair.migration, control: pair.controlUrl, monolith, services });
});

afterEach(async () => {
  watch?.child.kill('SIGKILL');
  await watch?.exited;
  watch = undefined;
  config.remove();
  await pair.close();
});

const rehearse = (...more: string[]): string[] => [
  ...['--config', config.file, '--json', 'rehearse', 'catalog', ...more],
];

/** Waits until a rehearsal has come to such an end. */
async function ends(status: 'done' | 'failed'): Promise<void> {
  await waitFor(async () => (await pair.db('banyan.rehearsal').where({ status })).length > 0, {
    ...{ timeoutMs: 60_000, what: `a rehearsal to be ${status}` },
  });
}

test('a round that fails is told, and the others are added up', async () => {
  const sync = startGated(pair);
  try {
    await streaming(pair, 'to');
    sync.gate.shut();
    watch = startBanyan(rehearse('--watch', '10m', '--every', '200ms'));
    await ends('failed');
    sync.gate.open();
    await ends('done');
    watch.child.kill('SIGINT');
    expect(await watch.exited).toBe(0);
    const told = JSON.parse(watch.stdout()) as { rounds: unknown[]; failed: unknown[] };
    const failed = await pair.db('banyan.rehearsal').where({ status: 'failed' });
    const done = await pair.db('banyan.rehearsal').where({ status: 'done' });
    expect(told.failed.length).toBeGreaterThanOrEqual(failed.length);
    expect(told.rounds).toHaveLength(done.length);
    expect(told.failed[0]).toMatchObject({
      ...{ code: 'TIMED_OUT', error: expect.stringContaining('to pass the barrier') },
      at: expect.stringMatching(/^\d{4}-/),
    });
    expect(told.rounds[0]).toMatchObject({ capability: 'catalog', phase: 'sync' });
  } finally {
    await sync.stop();
  }
});

test('where none comes to its end, that is the error of all of them', async () => {
  const error = async (...more: string[]): Promise<unknown> => {
    const { code, stdout } = await banyan(rehearse(...more));
    expect(code).toBe(5);
    return (JSON.parse(stdout) as { error: unknown }).error;
  };
  expect(await error('--watch', '1s', '--every', '200ms')).toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringMatching(/^flow \S+ does not stream/),
  });
  expect(await error()).toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringMatching(/^flow \S+ does not stream/),
  });
});

test('what no later round could do better ends them', async () => {
  const { code, stdout } = await banyan([
    ...['--config', config.file, '--json', 'rehearse', 'nowhere'],
    ...['--watch', '10m', '--every', '200ms'],
  ]);
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'UNKNOWN_CAPABILITY' } });
});
