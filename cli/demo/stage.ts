// The demo's stage: an embedded PostgreSQL (and Kafka, where it is asked for) with the shop's database, the service's and the control
// database, three roles of least privilege in each of the first two, and four processes: monolith,
// service, facade, sync. Everything is a child that does not outlive us.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startChild, type Child } from '../../core/child.ts';
import { BanyanError } from '../../core/errors.ts';
import { startEmbeddedKafka } from '../../core/kafka/embedded.ts';
import { aborted } from '../../core/lifecycle.ts';
import { startEmbedded } from '../../core/postgres/embedded.ts';
import { migrate } from '../../core/postgres/migrate.ts';
import { mappedTables } from '../../control/grants.ts';
import {
  contextOf,
  loadConfig,
  writeRunning,
  type Context,
  type GlobalOptions,
} from '../context.ts';
import { makeOwner, makeRoles, roleUrls } from './roles.ts';
import { startWrongPrice } from './wrong-price.ts';

export type Fault = 'wrong-price' | 'lose-change';

export interface StageOptions {
  readonly globals: GlobalOptions;
  readonly products: number;
  /** Whether the changes travel over a Kafka. */
  readonly kafka: boolean;
  readonly fault: Fault | undefined;
  readonly onProgress: (what: string) => void;
  /** Ends the building of the stage; what stands already is taken down. */
  readonly signal: AbortSignal;
}

export interface Stage {
  readonly facadeUrl: string;
  readonly adminUrl: string;
  readonly monolithUrl: string;
  readonly serviceUrl: string;
  /** Address of the broker, where there is one. */
  readonly kafka: string | undefined;
  /** Superuser URLs, for the checks. */
  readonly shopDatabase: string;
  readonly catalogDatabase: string;
  readonly context: Context;
  /** Runs one of the shop's batch jobs, which write its database directly. */
  batch(
    job: 'reprice' | 'restock',
    args: readonly string[],
  ): Promise<{ code: number; output: string }>;
  /** Rejects when one of the processes ends by itself. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Builds the stage. Throws USAGE outside the repository, EMBEDDED_POSTGRES. */
export async function buildStage(options: StageOptions): Promise<Stage> {
  const closers: (() => Promise<unknown> | undefined)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse())
      await Promise.resolve(closer()).catch(() => undefined);
  };
  try {
    return await build(options, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(
  options: StageOptions,
  closers: (() => Promise<unknown> | undefined)[],
  close: () => Promise<void>,
): Promise<Stage> {
  const { signal, onProgress } = options;
  if (!existsSync(`${ROOT}monolith/main.ts`))
    throw new BanyanError(
      'USAGE',
      'the demo runs from a checkout of the repository: the sample shop is not published',
      {
        hint: 'Clone the repository, then `npm install && npm run demo`.',
      },
    );
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const launch = async (
    name: string,
    args: string[],
    environment: Record<string, string>,
  ): Promise<string> => {
    signal.throwIfAborted();
    const child = startNode(args, environment);
    closers.push(() => child.stop());
    const line = await firstLine(name, child, signal);
    void child.exited.then((code) => {
      failure.reject(
        new BanyanError('DEMO_FAILED', `${name} ended with ${code}: ${child.lastWords()}`),
      );
    });
    return line;
  };

  let kafka: string | undefined;
  if (options.kafka) {
    onProgress('starting Kafka');
    const broker = await startEmbeddedKafka();
    closers.push(() => broker.stop());
    void broker.exited.then((code) => {
      failure.reject(new BanyanError('DEMO_FAILED', `Kafka ended with ${code}`));
    });
    kafka = broker.address;
    signal.throwIfAborted();
  }
  onProgress('starting PostgreSQL');
  const server = await startEmbedded();
  closers.push(() => server.stop());
  signal.throwIfAborted();
  for (const name of ['shop', 'catalog', 'control']) await server.createDatabase(name);
  const shopApp = await makeOwner(server, 'shop');
  const catalogApp = await makeOwner(server, 'catalog');

  onProgress(`seeding the shop with ${options.products} products`);
  const seeding = startNode(['monolith/seed.ts', '--products', String(options.products)], {
    DATABASE_URL: shopApp,
  });
  closers.push(() => seeding.stop());
  await Promise.race([seeding.exited, aborted(signal)]);
  signal.throwIfAborted();
  if ((await seeding.exited) !== 0)
    throw new BanyanError('DEMO_FAILED', `seeding failed: ${seeding.lastWords()}`);
  signal.throwIfAborted();
  await migrate({ url: catalogApp, folder: 'catalog', direction: 'up', schema: 'public' });

  onProgress('starting monolith and service');
  const monolithUrl = urlOf(
    await launch('monolith', ['monolith/main.ts'], { DATABASE_URL: shopApp, PORT: '0' }),
  );
  const serviceUrl = urlOf(
    await launch('catalog', ['extracted/catalog/main.ts'], { DATABASE_URL: catalogApp, PORT: '0' }),
  );
  let candidateUrl = serviceUrl;
  if (options.fault === 'wrong-price') {
    const proxy = await startWrongPrice(serviceUrl);
    closers.push(() => proxy.close());
    candidateUrl = proxy.url;
  }

  const roles = {
    MONOLITH: roleUrls(server, 'shop'),
    CATALOG: roleUrls(server, 'catalog'),
  };
  // All that the edge gets to know: it holds no login of the two databases.
  const forEdge: Record<string, string> = {
    BANYAN_CONTROL_URL: await makeOwner(server, 'control'),
    MONOLITH_URL: monolithUrl,
    CATALOG_URL: candidateUrl,
    // Without a word in it the definition reads the slots.
    DEMO_KAFKA: kafka ?? '',
  };
  const environment: Record<string, string> = {
    ...forEdge,
    ...Object.fromEntries(
      Object.entries(roles).flatMap(([side, { urls }]) =>
        Object.entries(urls).map(([role, url]) => [`${side}_${role.toUpperCase()}_URL`, url]),
      ),
    ),
  };
  const config = `${ROOT}banyan.config.ts`;
  // The definition looks for it while it is loaded.
  process.env['DEMO_KAFKA'] = kafka ?? '';
  const loaded = await loadConfig(config, { environment });
  await makeRoles(server, 'shop', mappedTables(loaded.migration, 'monolith'), roles.MONOLITH);
  await makeRoles(
    server,
    'catalog',
    mappedTables(loaded.migration, 'service', 'catalog'),
    roles.CATALOG,
  );
  writeRunning(loaded.directory, { environment });
  closers.push(() => {
    writeRunning(loaded.directory, undefined);
    return undefined;
  });
  const context = await contextOf(
    loaded,
    environment['BANYAN_CONTROL_URL'] ?? '',
    options.globals,
    'demo',
  );
  closers.push(() => context.close());

  onProgress('starting facade and sync');
  const banyan = [
    'cli/main.ts',
    '--config',
    config,
    '--json',
    '--log-level',
    options.globals.logLevel,
  ];
  const fault = options.fault === 'lose-change' ? ['--fault', 'lose-change'] : [];
  await launch('sync', [...banyan, 'sync', ...fault], environment);
  const edge = JSON.parse(
    await launch('facade', [...banyan, 'facade', '--port', '0', '--admin-port', '0'], forEdge),
  ) as { url: string; adminUrl: string };

  return {
    facadeUrl: edge.url,
    adminUrl: edge.adminUrl,
    monolithUrl,
    serviceUrl,
    kafka,
    shopDatabase: server.url('shop'),
    catalogDatabase: server.url('catalog'),
    context,
    failed: failure.promise,
    close,
    batch: async (job, args) => {
      const child = startNode([`monolith/batch/${job}.ts`, ...args], { DATABASE_URL: shopApp });
      closers.push(() => child.stop());
      let output = '';
      child.onLine((line) => {
        output += line;
      });
      const code = await child.exited;
      return { code, output: code === 0 ? output : child.lastWords() };
    },
  };
}

function startNode(args: readonly string[], environment: Readonly<Record<string, string>>): Child {
  return startChild({
    command: process.execPath,
    args: [...process.execArgv, ...args],
    endWith: 'TERM',
    cwd: ROOT,
    env: { ...process.env, ...environment },
  });
}

/** Waits until the process says that it is ready. */
async function firstLine(name: string, child: Child, signal: AbortSignal): Promise<string> {
  const line = await Promise.race([
    new Promise<string>((resolve) => {
      child.onLine(resolve);
    }),
    child.exited.then(() => undefined),
    aborted(signal).then(() => undefined),
  ]);
  signal.throwIfAborted();
  if (line !== undefined) return line;
  throw new BanyanError('DEMO_FAILED', `${name} did not start: ${child.lastWords()}`);
}

function urlOf(line: string): string {
  return /https?:\/\/\S+/.exec(line)?.[0] ?? '';
}
