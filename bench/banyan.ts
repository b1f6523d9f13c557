// The facade as a contender: `banyan facade` itself, as production runs it, on a definition of fifty
// routes, with every feature on and its control database behind it.
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineMigration } from '../control/define.ts';
import type { MigrationInput } from '../control/definition.ts';
import { openControl, StateStore, type StateChange } from '../control/store.ts';
import { start, type Started } from './processes.ts';

/** The command itself. */
export const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
const SLICES = ['catalog', 'orders', 'customers', 'invoices', 'reports'] as const;

export interface Facade extends Started {
  readonly url: string;
  readonly adminUrl: string;
}

/** Five capabilities with ten routes each; `/api/catalog/items/:id` is what the benchmark asks for. */
export function fiftyRoutes(upstream: string, controlUrl: string): MigrationInput {
  return {
    control: controlUrl,
    monolith: { upstream },
    services: Object.fromEntries(SLICES.map((name) => [name, { upstream }])),
    capabilities: Object.fromEntries(
      SLICES.map((name) => [
        name,
        {
          service: name,
          routes: routesOf(name),
          canary: {
            rules: [
              { header: 'user-agent', matches: 'iPhone|iPad', to: 'service' as const },
              { query: 'preview', matches: '^1$', to: 'service' as const },
            ],
          },
        },
      ]),
    ),
    // Every feature that a definition can turn on for all traffic belongs here.
    facade: { accessLog: { sample: 0.01 } },
  };
}

function routesOf(name: string): (string | { path: string; kind: 'read' })[] {
  const base = `/api/${name}`;
  return [
    `${base}/items`,
    `${base}/items/:id`,
    `${base}/items/:id/parts`,
    `${base}/items/:id/parts/:part`,
    `${base}/lists`,
    `${base}/lists/:id`,
    `${base}/tags/:tag`,
    { path: `${base}/search`, kind: 'read' },
    `${base}/files/**`,
    `/legacy/${name}/:id`,
  ];
}

/** Puts capabilities into states, in the control database. */
export async function setStates(
  controlUrl: string,
  states: Readonly<Record<string, StateChange>>,
): Promise<void> {
  const control = openControl(controlUrl);
  const store = new StateStore(control);
  const entry = { who: 'bench', event: 'advance', why: 'a benchmark', evidence: {} };
  try {
    for (const [name, change] of Object.entries(states))
      await store.change(await store.readOne(name), change, entry);
  } finally {
    await control.destroy();
  }
}

/** The states in which the benchmark measures: part of the traffic is in canary, part has moved. */
export const STATES: Readonly<Record<string, StateChange>> = {
  catalog: { phase: 'canary', weight: 25 },
  orders: { phase: 'sync' },
  customers: { phase: 'cutover' },
  invoices: { phase: 'canary', weight: 5 },
};

export interface FacadeRun {
  /** Further flags of the command. */
  readonly flags?: readonly string[];
  /** As `taskset` takes them. */
  readonly cores?: string;
}

/** Starts `banyan facade` on a definition. */
export async function startFacade(
  definition: MigrationInput,
  { flags = [], cores }: FacadeRun = {},
): Promise<Facade> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-'));
  const config = path.join(folder, 'banyan.config.mjs');
  await writeFile(config, `export default ${JSON.stringify(defineMigration(definition))};\n`);
  const log = path.join(folder, 'facade.log');
  const stderr = openSync(log, 'w');
  const profile = process.env['BENCH_PROF'] === 'facade' ? ['--cpu-prof'] : [];
  try {
    const process_ = await start({
      place: 'measured',
      command: process.execPath,
      args: [
        ...[...process.execArgv, ...profile, MAIN, '--config', config, '--json'],
        ...['facade', '--port', '0', '--admin-port', '0', ...flags],
      ],
      stderr,
      ...(cores === undefined ? {} : { cores }),
    });
    const { url, adminUrl } = JSON.parse(process_.line) as { url: string; adminUrl: string };
    return {
      ...process_,
      url,
      adminUrl,
      stop: async () => {
        await process_.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    throw new Error(`the facade did not start: ${await readFile(log, 'utf8')}`, { cause: error });
  } finally {
    closeSync(stderr);
  }
}
