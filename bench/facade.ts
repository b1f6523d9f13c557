// The facade's cost: its own data path against the least that a proxy on undici can do, and against
// no proxy at all. Every contender is a process of its own; the facade is the real one, with its
// control database. `node bench/facade.ts [--json FILE]`
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { migrateControl } from '../control/store.ts';
import { startEmbedded } from '../core/postgres/embedded.ts';
import { runCommand } from './command.ts';
import type { Contender } from './harness.ts';
import { generateLoad } from './load.ts';

const CONNECTIONS = 32;
const children: ChildProcess[] = [];

/** Starts one contender's process and waits for its URL. */
async function start(...args: string[]): Promise<string> {
  const script = fileURLToPath(new URL('./facade-contender.ts', import.meta.url));
  const flags = process.env['BENCH_PROF'] === args[0] ? ['--cpu-prof'] : [];
  const child = spawn(process.execPath, [...process.execArgv, ...flags, script, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) return line;
  throw new Error(`the contender "${args.join(' ')}" ended before it listened`);
}

function contender(name: string, base: string): Contender {
  return {
    name,
    measure: async (ms) => {
      const load = { url: `${base}/api/products/17`, connections: CONNECTIONS, ms };
      return (await generateLoad(load)).perSecond;
    },
  };
}

const postgres = await startEmbedded({ fsync: false });
try {
  const controlUrl = await postgres.createDatabase('control');
  await migrateControl(controlUrl);
  const upstream = await start('upstream');
  const ours = await start('facade', upstream, controlUrl);
  const bare = await start('bare', upstream);
  await runCommand(
    [
      {
        name: 'GET 1 KB',
        unit: 'req/s',
        better: 'more',
        ours: contender('banyan facade', ours),
        others: [
          contender('bare undici dispatch', bare),
          contender('direct to upstream', upstream),
        ],
      },
    ],
    process.argv.slice(2),
  );
} finally {
  for (const child of children) {
    child.stdin?.end();
    await new Promise((resolve) => child.once('exit', resolve));
  }
  await postgres.stop();
}
