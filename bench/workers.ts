// Two cluster workers against one. With four cores or more it is measured: the workers on cores 1 and
// 2, the rest on core 0. With fewer, the second worker would compete with the load generator; there
// both workers share core 1 and are asked by turns, each by the connections that it was given, and the
// figure is what they would do with a core each: the sum of their requests per second of CPU, that of
// the leading process counted in each time. (What a worker does besides serving counts in its own turn.)
// That sees what clustering costs and how it deals out connections, not what cores take from each other.
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { MigrationInput } from '../control/definition.ts';
import { MAIN, startFacade, type Facade } from './banyan.ts';
import type { Case, Contender } from './harness.ts';
import { clientsOf, generateLoad, loadBy, type Client } from './load.ts';
import { descendantsOf, MEASURABLE, ownCpuMsOf, peerPortsOf } from './usage.ts';

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
      warmUpMs: 15_000,
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
  const measured = async (ms: number): Promise<number> => {
    const load = { url: url + path, connections: connections * workers, ms };
    return (await generateLoad(load)).perSecond;
  };
  const projected = async (ms: number): Promise<number> => {
    const clients = clientsOf(url + path, connections * workers);
    try {
      await loadBy(clients, 0);
      const crews = byWorker(pid, clients);
      let sum = 0;
      for (const { worker, crew } of crews) {
        const cpuMs = (): number => ownCpuMsOf(worker) + (worker === pid ? 0 : ownCpuMsOf(pid));
        const before = cpuMs();
        const { answers } = await loadBy(crew, ms);
        sum += (answers * 1000) / (cpuMs() - before);
      }
      return sum;
    } finally {
      for (const client of clients) client.close();
    }
  };
  return { name, measure: ROOM ? measured : projected };
}

/** The clients of each process that serves any. */
function byWorker(pid: number, clients: readonly Client[]): { worker: number; crew: Client[] }[] {
  return [pid, ...descendantsOf(pid)]
    .map((worker) => {
      const ports = peerPortsOf(worker);
      const crew = clients.filter(({ port }) => port !== undefined && ports.has(port));
      return { worker, crew };
    })
    .filter(({ crew }) => crew.length > 0);
}
