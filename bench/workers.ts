// Two cluster workers against one. With four cores or more it is measured: the workers on cores 1 and
// 2, the rest on core 0. With fewer, the second worker would compete with the load generator; there
// both workers share core 1, and the figure is what they would do with a core each: their requests
// per second of CPU, times two, times how evenly they share the work. That sees what clustering costs
// and how well it balances, not what cores take from each other.
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { MigrationInput } from '../control/definition.ts';
import { MAIN, startFacade, type Facade } from './banyan.ts';
import type { Case, Contender } from './harness.ts';
import { generateLoad } from './load.ts';
import { cpuMsOf, descendantsOf, MEASURABLE } from './usage.ts';

export interface WorkersOptions {
  readonly definition: MigrationInput;
  /** For each worker: what is compared is twice the workers under twice the load. */
  readonly connections: number;
  readonly path: string;
  readonly say: (line: string) => void;
}

const ROOM = availableParallelism() >= 4;

/** Starts both facades. No case where workers are unknown or nothing honest can be measured. */
export async function workersCase(options: WorkersOptions): Promise<Case[]> {
  const { definition, say } = options;
  if (!knowsWorkers()) {
    say('`banyan facade` has no --workers: that case is left out.');
    return [];
  }
  if (!ROOM && !MEASURABLE) {
    say('Two workers need four cores, or /proc: that case is left out.');
    return [];
  }
  if (!ROOM) say('Fewer than four cores: two workers are projected from the CPU they use.');
  const one = await startFacade(definition, { flags: ['--workers', '1'] });
  const two = await startFacade(definition, {
    flags: ['--workers', '2'],
    cores: ROOM ? '1,2' : '1',
  });
  return [
    {
      name: ROOM ? 'workers' : 'workers (projected)',
      unit: 'req/s',
      better: 'more',
      ours: contender(options, 'two workers', two, 2),
      others: [contender(options, 'one worker', one, 1)],
      wanted: { 'one worker': 1.8 },
    },
  ];
}

function knowsWorkers(): boolean {
  const help = execFileSync(process.execPath, [...process.execArgv, MAIN, 'facade', '--help'], {
    encoding: 'utf8',
  });
  return help.includes('--workers');
}

function contender(
  { connections, path }: WorkersOptions,
  name: string,
  { url, pid }: Facade,
  workers: number,
): Contender {
  return {
    name,
    measure: async (ms) => {
      const children = descendantsOf(pid);
      const before = children.map(cpuMsOf);
      const all = cpuMsOf(pid);
      const load = { url: url + path, connections: connections * workers, ms };
      const { answers, perSecond } = await generateLoad(load);
      if (ROOM) return perSecond;
      const used = children.map((child, nth) => cpuMsOf(child) - (before[nth] ?? 0));
      const perCpuSecond = (answers * 1000) / (cpuMsOf(pid) - all);
      return workers === 1 ? perCpuSecond : perCpuSecond * workers * evenness(used, workers);
    },
  };
}

/** 1 where each worker does the same, 1 / workers where one does it all. */
function evenness(used: readonly number[], workers: number): number {
  const total = used.reduce((sum, one) => sum + one, 0);
  return total / (workers * Math.max(...used));
}
