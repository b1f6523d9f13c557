// The catalog service as one Express app over its own database. It owns the database handle only
// when it opened it itself: `close` leaves a handle that was passed in alone.
import express, { type Express } from 'express';
import type { Knex } from 'knex';
import { openDatabase } from './database.ts';
import { logError, noSuchRoute, problemHandler, type OnError } from './http/problem.ts';
import { routes } from './routes.ts';

export type CatalogOptions = (
  { readonly databaseUrl: string; readonly poolSize?: number } | { readonly knex: Knex }
) & {
  /** Takes the causes of answers with status 500; logs them to stderr when left out. */
  readonly onError?: OnError;
};

export interface Catalog {
  readonly app: Express;
  readonly db: Knex;
  readonly close: () => Promise<void>;
}

/** Makes the app; connects to nothing before the first request. */
export function createCatalog(options: CatalogOptions): Catalog {
  const owned = 'databaseUrl' in options;
  const db = owned ? openDatabase(options.databaseUrl, options.poolSize) : options.knex;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/healthz', async (_request, response) => {
    await db.raw('SELECT 1');
    response.json({ status: 'ok' });
  });
  app.use(express.json({ limit: '256kb' }));
  app.use('/api', routes(db));
  app.use(noSuchRoute, problemHandler(options.onError ?? logError));
  return {
    app,
    db,
    close: async () => {
      if (owned) await db.destroy();
    },
  };
}
