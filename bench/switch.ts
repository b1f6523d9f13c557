// `npm run bench:switch`: the owner changes again and again under load, through two facades, with the
// processes that production runs; what clients see of it. SWITCHES (each way), WRITES and READS a second.
import { parseArgs } from 'node:util';
import { writeFile } from 'node:fs/promises';
import { migrateControl } from '../control/store.ts';
import { isBanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { startEmbedded } from '../core/postgres/embedded.ts';
import type { World } from '../test/support/switching/world.ts';
import { always, delays, quantile, randomOf, rollout } from '../test/support/rises.ts';
import { watchStanding, type Standing } from './standing.ts';
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
  /** What the tails were made of, where anything stood for a second. */
  readonly stood: Standing;
  readonly regressions: Regressions;
}

/** Of a rollout that goes back by itself, in simulated time: seconds to find one, and false alarms. */
interface Regressions {
  readonly beside: { readonly p50S: number; readonly p90S: number };
  readonly halfAndHalf: { readonly p50S: number; readonly p90S: number };
  readonly rollouts: number;
  readonly falseAlarms: number;
}

const DWELL_MS = 200;
const TRIES = 10;

const ROLLOUTS = 1_000;
/** What the step before it has shown. */
const EARLIER = { answered: 20_000, against: 200 };

function simulate(): Regressions {
  const told = (found: readonly number[]): Regressions['beside'] => ({
    p50S: quantile(found, 0.5),
    p90S: quantile(found, 0.9),
  });
  const seeds = Array.from({ length: ROLLOUTS }, (_, at) => at + 1);
  return {
    beside: told(delays(0, 950, ROLLOUTS / 2)),
    halfAndHalf: told(delays(0, 50, ROLLOUTS / 2, EARLIER)),
    rollouts: ROLLOUTS,
    falseAlarms: seeds.filter((seed) => rollout(always(0.01), randomOf(seed))).length,
  };
}

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
  const stood = watchStanding(world.urls);
  for (let done = 1; done <= size.switches; done++) {
    for (const event of ['advance', 'rollback'] as const) {
      await move(event);
      await sleep(DWELL_MS);
    }
    if (done % 10 === 0) process.stderr.write(`${done} of ${size.switches} each way\n`);
  }
  const standing = await stood();
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
    stood: standing,
    regressions: simulate(),
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
    `stood for a second        ${figures.stood.sessions.join('\n  ') || 'nobody'}; this process ${ms(figures.stood.selfMs)}`,
    `two points more failures  simulated, at 50 req/s canary: found in ${seconds(figures.regressions.beside)} beside 950, in ${seconds(figures.regressions.halfAndHalf)} half and half`,
    `rolled back for nothing   ${figures.regressions.falseAlarms} of ${figures.regressions.rollouts} simulated rollouts of an equal service`,
  ].join('\n');
}

function seconds({ p50S, p90S }: Regressions['beside']): string {
  return `${p50S} s (p90 ${p90S} s)`;
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
