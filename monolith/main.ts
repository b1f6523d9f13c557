// Runs the shop as a process. Environment: DATABASE_URL, DATABASE_POOL, HOST, PORT.
import { createMonolith } from './app.ts';
import { readEnvironment } from './http/environment.ts';
import { serve } from './http/serve.ts';

const environment = readEnvironment();
const monolith = createMonolith({
  databaseUrl: environment.DATABASE_URL,
  poolSize: environment.DATABASE_POOL,
});
await serve({
  name: 'monolith',
  handler: monolith.app,
  host: environment.HOST,
  port: environment.PORT,
  close: monolith.close,
});
