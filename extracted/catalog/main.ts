// Runs the catalog service as a process. Environment: DATABASE_URL, DATABASE_POOL, HOST, PORT.
import { createCatalog } from './app.ts';
import { readEnvironment } from './http/environment.ts';
import { serve } from './http/serve.ts';

const environment = readEnvironment();
const catalog = createCatalog({
  databaseUrl: environment.DATABASE_URL,
  poolSize: environment.DATABASE_POOL,
});
await serve({
  name: 'catalog',
  handler: catalog.app,
  host: environment.HOST,
  port: environment.PORT,
  close: catalog.close,
});
