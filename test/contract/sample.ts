// The sample's two apps in this process, each on a database of its own that is migrated and then
// dropped, and the small HTTP client that their tests talk through.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Express } from 'express';
import type { Knex } from 'knex';
import pg from 'pg';
import { createCatalog } from '../../extracted/catalog/app.ts';
import { migrateCatalog } from '../../extracted/catalog/migrate.ts';
import { createMonolith } from '../../monolith/app.ts';
import { migrateMonolith } from '../../monolith/migrate.ts';
import { seed, type SeedSize } from '../../monolith/seed/load.ts';
import { createDatabase } from '../support/postgres.ts';

export interface RunningApp {
  readonly url: string;
  readonly databaseUrl: string;
  readonly db: Knex;
  /** What was answered with 500, and why. */
  readonly errors: readonly unknown[];
  readonly stop: () => Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly location: string | null;
  readonly text: string;
  /** The parsed body; null when there is none. */
  readonly json: Json;
}

/** The fields that tests read by name; which of them an answer has, they say with `toEqual`. */
export interface Json {
  readonly id: number;
  readonly status: unknown;
  readonly detail: string;
  readonly issues: readonly { readonly path: string; readonly message: string }[];
  readonly items: readonly Json[];
  readonly total: unknown;
  readonly price: string;
  readonly stock: number;
  readonly code: string;
  readonly units: number;
  readonly revenue: string;
  readonly invoiced: string;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** The monolith on a migrated database, seeded when a size is given. */
export async function startMonolith(size?: SeedSize): Promise<RunningApp> {
  const database = await createDatabase('monolith');
  await migrateMonolith(database.url);
  if (size) await withClient(database.url, (client) => seed(client, size));
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  return listen(createMonolith({ databaseUrl: database.url, onError }), errors, database);
}

/** The catalog service on a migrated, empty database. */
export async function startCatalog(): Promise<RunningApp> {
  const database = await createDatabase('catalog');
  await migrateCatalog(database.url);
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  return listen(createCatalog({ databaseUrl: database.url, onError }), errors, database);
}

export async function withClient<T>(
  databaseUrl: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** One request; a body that is not a string is sent as JSON. */
export async function call(
  app: { readonly url: string },
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(app.url + path, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    location: response.headers.get('location'),
    text,
    json: (text === '' ? null : JSON.parse(text)) as Json,
  };
}

async function listen(
  { app, db, close }: { app: Express; db: Knex; close: () => Promise<void> },
  errors: readonly unknown[],
  database: { url: string; drop(): Promise<void> },
): Promise<RunningApp> {
  const server = createServer(app);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    databaseUrl: database.url,
    db,
    errors,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await close();
      await database.drop();
    },
  };
}
