// Runs an HTTP handler as a process: listens, says so on stdout in one line, and on SIGTERM or
// SIGINT stops accepting, finishes the requests in flight, closes and exits 0. A second signal ends
// it at once. Idle connections stay open for long: a proxy in front reuses them.
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const KEEP_ALIVE_MS = 75_000;
const DRAIN_LIMIT_MS = 10_000;

export interface ServeOptions {
  readonly name: string;
  readonly handler: RequestListener;
  readonly host: string;
  readonly port: number;
  /** Called once no request is in flight any more. */
  readonly close: () => Promise<void>;
}

/** Resolves once the server listens. Rejects when it cannot. */
export async function serve(options: ServeOptions): Promise<void> {
  let draining = false;
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    // A busy caller would otherwise keep its connection, and us, for ever.
    if (draining) response.setHeader('Connection', 'close');
    options.handler(request, response);
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = (): void => {
    process.once('SIGTERM', () => process.exit(1));
    process.once('SIGINT', () => process.exit(1));
    draining = true;
    drain(server)
      .then(options.close)
      .then(
        () => process.exit(0),
        () => process.exit(1),
      );
  };
  // One signal of either kind starts the drain; the next one ends the process.
  const first = (): void => {
    process.removeListener('SIGTERM', first);
    process.removeListener('SIGINT', first);
    stop();
  };
  process.on('SIGTERM', first);
  process.on('SIGINT', first);
  process.stdout.write(`${options.name} listening on http://${options.host}:${port}\n`);
}

async function drain(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // A connection that was busy when the server closed becomes idle only after its answer.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, 20);
  const limit = setTimeout(() => {
    server.closeAllConnections();
  }, DRAIN_LIMIT_MS);
  await closed;
  clearInterval(sweep);
  clearTimeout(limit);
}
