// Changes of state under load: the driver moves a capability at random through the control database,
// while readers and writers go through two real facades to a monolith and a service in this process.
// 200 changes; `CHANGES=10000` soaks, `SEED=n` draws others.
//
// What a change may never do, as it is checked here. The versions of the state are a sequence. A
// request was admitted under one of those between the last that every facade had acknowledged when it
// was sent, and the last that was being written when it arrived at a side; for a write, also not
// before the last held version that was acknowledged by then. It must have arrived where one of them
// sends it, so while a hold is acknowledged and not released, no write may arrive anywhere, nor may
// one still be under way: a write is judged when its head arrives and again when its body is whole.
// Nothing fails, and no write arrives twice.
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { Pool } from 'undici';
import { defineMigration } from '../control/define.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import { Replicas } from '../control/replicas.ts';
import { openControl, StateStore, type StateChange } from '../control/store.ts';
import { sleep } from '../core/lifecycle.ts';
import { startBanyan, writeConfig, type Running } from '../test/support/command.ts';
import { serve, type TestServer } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { randomOf } from '../test/support/random.ts';
import { decide } from './domain/decide.ts';
import { compileRoutes } from './domain/routes.ts';

const CHANGES = Number(process.env['CHANGES'] ?? 200);
const SEED = Number(process.env['SEED'] ?? 1);
const READERS = 3;
const WRITERS = 2;
const CLIENTS = 500;
const MOVE = { who: 'test', event: 'advance', why: 'a random walk', evidence: {} };

interface Request {
  readonly method: 'GET' | 'POST';
  readonly client: string;
  /** The last version that every facade had acknowledged when it was sent. */
  readonly floor: number;
  arrivals: number;
}

let database: TestDatabase;
let control: Knex;
const facades: Running[] = [];
const sides: TestServer[] = [];
let config: { file: string; remove(): void } | undefined;
let migration: ReturnType<typeof defineMigration>;

const states = new Map<number, CapabilityState>();
const requests = new Map<string, Request>();
const wrong: string[] = [];
const arrived = { monolith: 0, service: 0 };
let judged = 0;
/** Judgements with one possible destination, or none. */
let decisive = 0;
let acknowledged = 0;
let acknowledgedHold = 0;
let written = 0;

beforeAll(async () => {
  database = await createControl();
  control = openControl(database.url);
  sides.push(await serveJudge('monolith'), await serveJudge('service'));
  const [monolith = '', service = ''] = sides.map(({ url }) => url);
  const definition = {
    control: database.url,
    monolith: { upstream: monolith },
    services: { catalog: { upstream: service } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/products/:id'],
        canary: { cohort: { header: 'x-client' } },
      },
    },
    // Soon enough to be seen as failures, long enough for two busy cores, which are not to be spared here.
    facade: { timeoutMs: 20_000, hold: { timeoutMs: 20_000 }, shedding: false as const },
  };
  migration = defineMigration(definition);
  config = writeConfig(definition);
  const flags = ['--config', config.file, '--json', 'facade', '--port', '0', '--admin-port', '0'];
  facades.push(startBanyan(flags), startBanyan(flags));
  await Promise.all(facades.map((facade) => facade.says('"ready"')));
});

afterAll(async () => {
  for (const { child } of facades) child.kill('SIGTERM');
  await Promise.all(facades.map(({ exited }) => exited));
  for (const side of sides) await side.close();
  config?.remove();
  await control.destroy();
  await database.drop();
});

/** A side that judges each request as it arrives. */
function serveJudge(side: Owner): Promise<TestServer> {
  return serve((req, res) => {
    const id = (req.url ?? '').split('/').at(-1) ?? '';
    const request = requests.get(id);
    if (req.headers['x-banyan-shadow'] === undefined && request) {
      request.arrivals += 1;
      arrived[side] += 1;
      judge(side, id, request);
    }
    req.resume().on('end', () => {
      if (req.method === 'POST' && request) judge(side, id, request);
      res.end(side);
    });
  });
}

function judge(side: Owner, id: string, request: Request): void {
  judged += 1;
  const isWrite = request.method === 'POST';
  const from = isWrite ? Math.max(request.floor, acknowledgedHold) : request.floor;
  const allowed = new Set<Owner>();
  for (let version = from; version <= written; version++) {
    const to = destination(request, version);
    if (to) allowed.add(to);
  }
  if (allowed.size <= 1) decisive += 1;
  if (!allowed.has(side))
    wrong.push(`${request.method} ${id} at the ${side}, admitted in ${from}..${written}`);
}

/** Where a version of the state sends a request; undefined when it is held. */
function destination({ method, client }: Request, version: number): Owner | undefined {
  const state = states.get(version);
  if (!state) throw new Error(`version ${version} was never written`);
  const decision = decide(
    compileRoutesOnce(),
    new Map([['catalog', state]]),
    {
      takenMethod: method,
      segments: ['api', 'products', '1'],
      certain: true,
      requestId: '',
      header: () => client,
      cookie: () => undefined,
      query: () => undefined,
      claim: () => undefined,
      freshCohort: () => '',
    },
    { leaseValid: () => true, wroteAt: () => undefined, isVerified: () => true },
  );
  return decision.kind === 'forward' ? decision.to : undefined;
}

let routes: ReturnType<typeof compileRoutes> | undefined;
function compileRoutesOnce(): ReturnType<typeof compileRoutes> {
  routes ??= compileRoutes(migration.capabilities);
  return routes;
}

async function ask(pool: Pool, method: Request['method'], nth: number): Promise<void> {
  const id = `${method}-${nth}-${requests.size}`;
  const request = { method, client: `client-${nth % CLIENTS}`, floor: acknowledged, arrivals: 0 };
  requests.set(id, request);
  try {
    const reply = await pool.request({
      path: `/api/products/${id}`,
      method,
      headers: { 'x-client': request.client },
      body: method === 'POST' ? Readable.from(slowBody(nth)) : null,
    });
    await reply.body.text();
    if (reply.statusCode !== 200) wrong.push(`${id} was answered with ${reply.statusCode}`);
  } catch (error) {
    wrong.push(`${id} failed: ${String(error)}`);
  }
  if (method === 'POST' && request.arrivals !== 1)
    wrong.push(`${id} arrived ${request.arrivals} times`);
  requests.delete(id);
}

/** An upload in two pieces, some milliseconds apart. */
async function* slowBody(nth: number): AsyncGenerator<Buffer> {
  yield Buffer.from('a ');
  await sleep(nth % 10);
  yield Buffer.from('body');
}

/** One random change; most of the time waits until every facade has acknowledged it. */
async function move(before: CapabilityState, random: () => number): Promise<CapabilityState> {
  const phases = ['monolith', 'sync', 'shadow', 'canary', 'canary', 'cutover', 'cutover'] as const;
  const change: StateChange = {
    phase: phases[Math.floor(random() * phases.length)] ?? 'monolith',
    weight: Math.floor(random() * 101),
    // A switch: hold, then another state without.
    holding: !before.holding && random() < 0.4,
  };
  // A hold changes nothing else, as in a switch.
  const next = change.holding ? { holding: true } : change;
  const version = before.version + 1;
  states.set(version, { ...before, ...next, version });
  written = version;
  const after = await new StateStore(control).change(before, next, MOVE);
  if (after.holding || random() < 0.75) {
    const { live, silent } = await new Replicas(control).acknowledged('catalog', version, 20_000);
    expect({ live: live.length, silent }).toEqual({ live: facades.length, silent: [] });
    acknowledged = version;
    if (after.holding) acknowledgedHold = version;
  }
  return after;
}

test(
  `${CHANGES} changes of state under load fail no request and serve none against its state`,
  async () => {
    const random = randomOf(SEED);
    let state = await new StateStore(control).readOne('catalog');
    states.set(state.version, state);
    written = acknowledged = state.version;
    const pools = facades.map(
      (facade) =>
        new Pool((JSON.parse(facade.stdout()) as { url: string }).url, { connections: 32 }),
    );
    let over = false;
    let asked = 0;
    const keepAsking = async (method: Request['method'], pool: Pool): Promise<void> => {
      while (!over && wrong.length === 0) await ask(pool, method, asked++);
    };
    const load = pools.flatMap((pool) => [
      ...Array.from({ length: READERS }, () => keepAsking('GET', pool)),
      ...Array.from({ length: WRITERS }, () => keepAsking('POST', pool)),
    ]);
    for (let done = 0; done < CHANGES && wrong.length === 0; done++)
      state = await move(state, random);
    if (state.holding) await move(state, () => 0.5);
    over = true;
    await Promise.all(load);
    await Promise.all(pools.map((pool) => pool.close()));
    expect(wrong).toEqual([]);
    // The check has teeth only where a version says clearly where a request belongs.
    expect(arrived.monolith).toBeGreaterThan(CHANGES / 2);
    expect(arrived.service).toBeGreaterThan(CHANGES / 2);
    expect(decisive / judged).toBeGreaterThan(0.3);
    process.stderr.write(
      `${CHANGES} changes, ${asked} requests, ${Math.round((100 * decisive) / judged)} % of the judgements with one possible destination\n`,
    );
  },
  60_000 + CHANGES * 300,
);
