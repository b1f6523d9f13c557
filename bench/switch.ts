// `npm run bench:switch`: the owner changes again and again under load, through two facades, with the
// processes that production runs; what clients see of it. SWITCHES (each way), WRITES and READS a second.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { migrateControl } from '../control/store.ts';
import { isBanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { startEmbedded } from '../core/postgres/embedded.ts';
import type { World } from '../test/support/switching/world.ts';
import { percentile as ofSorted } from './stream.ts';

interface Size {
  readonly switches: number;
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
}

interface Figures extends Size {
  readonly failed: Readonly<Record<string, number>>;
  readonly reads: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly doubled: number;
  readonly owners: readonly string[];
  readonly undone: number;
  /** Why switches were refused or taken back: whoever was in the way. */
  readonly blockers: readonly string[];
  /** Writes that came while writes were held, and what that added to the usual latency. */
  readonly held: { readonly count: number; readonly p50Ms: number; readonly p99Ms: number };
  readonly usualMs: { readonly p50: number; readonly p99: number };
  readonly pauseMs: { readonly p50: number; readonly p99: number };
}

const DWELL_MS = 200;
const TRIES = 10;

async function measure(world: World, size: Size): Promise<Figures> {
  const pauses: { readonly from: number; readonly to: number }[] = [];
  const blockers: string[] = [];
  const move = async (event: 'advance' | 'rollback'): Promise<void> => {
    for (let tries = 1; ; tries++) {
      await world.ready();
      try {
        const { pauseMs = 0 } = await world.pair
          .coordinator()
          .move({ capability: 'catalog', event });
        const to = performance.now();
        pauses.push({ from: to - pauseMs, to });
        return;
      } catch (error) {
        if (!isBanyanError(error) || tries === TRIES) throw error;
        blockers.push(`${error.message} ${error.hint ?? ''}`.trim());
      }
    }
  };
  await sleep(2_000);
  world.clients?.forget();
  for (let done = 1; done <= size.switches; done++) {
    for (const event of ['advance', 'rollback'] as const) {
      await move(event);
      await sleep(DWELL_MS);
    }
    if (done % 10 === 0) process.stderr.write(`${done} of ${size.switches} each way\n`);
  }
  const settled = await world.settle();
  const { failed, reads, times } = world.clients?.outcomes() ?? {
    failed: new Map<string, number>(),
    reads: 0,
    retried: 0,
    times: [],
  };
  const isHeld = ({ at }: { at: number }): boolean =>
    pauses.some(({ from, to }) => at >= from && at <= to);
  const usual = times.filter((one) => !isHeld(one)).map(({ ms }) => ms);
  const median = percentile(usual, 0.5);
  const added = times.filter(isHeld).map(({ ms }) => Math.max(0, ms - median));
  const lengths = pauses.map(({ from, to }) => to - from);
  return {
    ...size,
    failed: Object.fromEntries(failed),
    reads,
    acknowledged: settled.acknowledged,
    lost: settled.lost,
    doubled: settled.doubled,
    owners: [...settled.history.wrong, ...settled.faults].slice(0, 20),
    undone: blockers.length,
    blockers: blockers.slice(0, 20),
    held: { count: added.length, p50Ms: percentile(added, 0.5), p99Ms: percentile(added, 0.99) },
    usualMs: { p50: median, p99: percentile(usual, 0.99) },
    pauseMs: { p50: percentile(lengths, 0.5), p99: percentile(lengths, 0.99) },
  };
}

function percentile(values: readonly number[], share: number): number {
  return ofSorted(
    [...values].sort((a, b) => a - b),
    share,
  );
}

function print(figures: Figures): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const failed = Object.entries(figures.failed).map(([what, count]) => `${count} × ${what}`);
  return [
    `${figures.switches} switches each way at ${figures.writesPerSecond} writes/s and ${figures.readsPerSecond} reads/s, two facades`,
    `failed requests           ${failed.join(', ') || '0'} of ${figures.acknowledged + figures.reads}`,
    `lost, doubled writes      ${figures.lost}, ${figures.doubled} of ${figures.acknowledged}`,
    `two owners at once        ${figures.owners.length === 0 ? 'never' : figures.owners.join('; ')}`,
    `refused or taken back     ${figures.undone}${figures.blockers.map((line) => `\n  ${line}`).join('')}`,
    `held writes               ${figures.held.count}: p50 ${ms(figures.held.p50Ms)} and p99 ${ms(figures.held.p99Ms)} more than usual`,
    `other writes              p50 ${ms(figures.usualMs.p50)}, p99 ${ms(figures.usualMs.p99)}`,
    `pause, as switches saw it p50 ${ms(figures.pauseMs.p50)}, p99 ${ms(figures.pauseMs.p99)}`,
  ].join('\n');
}

const { values: flags } = parseArgs({ options: { json: { type: 'string' } } });
const size: Size = {
  switches: Number(process.env['SWITCHES'] ?? 200),
  writesPerSecond: Number(process.env['WRITES'] ?? 300),
  readsPerSecond: Number(process.env['READS'] ?? 1_000),
};
const server = await startEmbedded();
let world: World | undefined;
try {
  // Both look for the server while they are loaded.
  process.env['BANYAN_TEST_POSTGRES'] = server.url();
  const { CONTROL_TEMPLATE } = await import('../test/support/postgres.ts');
  const { World } = await import('../test/support/switching/world.ts');
  await migrateControl(await server.createDatabase(CONTROL_TEMPLATE));
  world = await World.start({ ...size, atMost: Number.POSITIVE_INFINITY });
  const figures = await measure(world, size);
  process.stdout.write(`${print(figures)}\n`);
  if (flags.json !== undefined)
    await writeFile(flags.json, `${JSON.stringify(figures, null, 2)}\n`);
} finally {
  await world?.close();
  await server.stop();
}
