// `npm run bench:facade`: the facade with every feature on against its peers, in one run on one core.
// Each contender is a process of its own; all are warm and take turns; quote ratios only.
import { migrateControl } from '../control/store.ts';
import { startEmbedded } from '../core/postgres/embedded.ts';
import { fiftyRoutes, setStates, startFacade, STATES } from './banyan.ts';
import { runCommand } from './command.ts';
import type { Case, Contender } from './harness.ts';
import { generateLoad } from './load.ts';
import { startNginx } from './nginx.ts';
import { hasTool, PINNED, pinSelf, startNode, stopAll, type Started } from './processes.ts';
import type { Shape } from './request.ts';
import { cpuMsOf, MEASURABLE } from './usage.ts';
import { workersCase } from './workers.ts';

const CONNECTIONS = 32;
const PATH = '/api/catalog/items/17';

/** The least that our ratio should be. */
const WANTED = {
  'express + http-proxy-middleware': 2.5,
  '@fastify/http-proxy': 1.7,
  'bare undici dispatch': 0.85,
};

interface Peer {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** The lowest share of a core that it used while it was measured at full load. */
  busy: number;
}

function peer(name: string, { line, pid }: Started, url = line): Peer {
  return { name, url, pid, busy: 1 };
}

/** Requests per second. */
function rate(one: Peer, shape: Shape, name = one.name): Contender {
  return {
    name,
    measure: async (ms) => {
      const before = cpuMsOf(one.pid);
      const { perSecond } = await load(one, shape, ms);
      if (MEASURABLE) one.busy = Math.min(one.busy, (cpuMsOf(one.pid) - before) / ms);
      return perSecond;
    },
  };
}

/** Microseconds of CPU that the process and its workers spend on one request. */
function cpu(one: Peer): Contender {
  return {
    name: one.name,
    measure: async (ms) => {
      const before = cpuMsOf(one.pid);
      const { answers } = await load(one, 'GET', ms);
      return ((cpuMsOf(one.pid) - before) * 1000) / answers;
    },
  };
}

function load(
  one: Peer,
  shape: Shape,
  ms: number,
): Promise<{ readonly perSecond: number; readonly answers: number }> {
  return generateLoad({ url: one.url + PATH, connections: CONNECTIONS, ms, shape });
}

/** Chunks against a length. */
function framing(name: string, when: '' | ' later', ours: Peer): Case {
  return {
    name,
    unit: 'req/s',
    better: 'more',
    ours: rate(ours, `chunked${when}`, 'chunked'),
    others: [rate(ours, `length${when}`, 'Content-Length')],
    wanted: { 'Content-Length': 0.85 },
  };
}

function casesOf(ours: Peer, others: readonly Peer[], direct: Peer): Case[] {
  const rates = (name: string, shape: Shape, wanted: Case['wanted']): Case => ({
    name,
    unit: 'req/s',
    better: 'more',
    ours: rate(ours, shape),
    others: [...others, direct].map((one) => rate(one, shape)),
    wanted,
  });
  const cases: Case[] = [
    rates('GET 1 KB', 'GET', WANTED),
    rates('POST 1 KB', 'length', {}),
    rates('POST 1 KB chunked', 'chunked', {}),
    framing('POST 1 KB by framing', '', ours),
    framing('POST 1 KB, body later, by framing', ' later', ours),
  ];
  if (MEASURABLE)
    cases.push({
      name: 'CPU of a GET',
      unit: 'µs',
      better: 'less',
      ours: cpu(ours),
      others: others.map(cpu),
      wanted: { ...WANTED, nginx: 0.333 },
    });
  return cases;
}

pinSelf();
say(
  PINNED
    ? 'Each contender runs on core 1; upstream, load generator and PostgreSQL on core 0.'
    : 'No taskset, or one core only: contenders compete with what feeds them.',
);
if (!MEASURABLE) say('No /proc: CPU time of the contenders cannot be read; that case is left out.');
const postgres = await startEmbedded({ fsync: false });
try {
  const controlUrl = await postgres.createDatabase('control');
  await migrateControl(controlUrl);
  await setStates(controlUrl, STATES);
  const upstream = await startNode('helper', './contender-upstream.ts');
  const definition = fiftyRoutes(upstream.line, controlUrl);
  const facade = await startFacade(definition);
  const ours = peer('banyan facade', facade, facade.url);
  const others = [
    peer('bare undici dispatch', await contender('bare', upstream.line)),
    peer('@fastify/http-proxy', await contender('fastify', upstream.line)),
    peer('express + http-proxy-middleware', await contender('express', upstream.line)),
  ];
  if (hasTool('nginx', '-v')) others.push(peer('nginx', await startNginx(upstream.line)));
  else say('nginx is not installed: it is left out.');
  const workers = await workersCase({ definition, connections: CONNECTIONS, path: PATH, say });
  await runCommand(
    [...casesOf(ours, others, peer('direct to upstream', upstream)), ...workers],
    process.argv.slice(2),
  );
  for (const { name, busy } of [ours, ...others])
    if (busy < 0.9)
      say(
        `${name} had only ${Math.round(busy * 100)} % of its core in its worst round: the load generator, or whatever else runs here, set its req/s. Compare CPU instead.`,
      );
} finally {
  await stopAll();
  await postgres.stop();
}

function contender(name: string, target: string): Promise<Started> {
  return startNode('measured', `./contender-${name}.ts`, target);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
