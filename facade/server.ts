// The standalone facade: a data port straight on node:http and an admin port. It takes no request
// before it knows the states. When told to stop: readiness off, no new connections, the requests in
// flight get their answers within a bounded time, then everything is closed and the replica leaves.
import { createServer, type Server } from 'node:http';
import { aborted, type Part } from '../core/lifecycle.ts';
import { adminServer } from './admin.ts';
import type { Edge } from './edge.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { closeNow, drainServer, listen, type Listen } from './listening.ts';
import { standaloneEngine } from './standalone.ts';

export interface FacadeServerOptions extends EngineOptions {
  readonly data: Listen;
  /** A free port of loopback when left out. */
  readonly admin?: Listen;
  /** Called once both ports listen, with their real numbers. */
  readonly onListening?: (at: { readonly url: string; readonly adminUrl: string }) => void;
}

// Longer than the keep-alive of a usual load balancer, which must be the side that closes.
const KEEP_ALIVE_MS = 65_000;
/** For a request's head. */
const HEADERS_MS = 60_000;
/** Cookies grow; an upstream that takes less says so itself. */
const HEAD_BYTES = 65_536;

/** The facade as a part of a process: `banyan facade` runs it, `banyan up` among others. */
export function facadePart(options: FacadeServerOptions): Part {
  return {
    name: 'facade',
    run: async (signal, ready) => {
      const engine = await standaloneEngine(options);
      const admin = adminServer(engine.admin);
      let adminUrl = '';
      try {
        adminUrl = await listen(admin, options.admin ?? { host: '127.0.0.1', port: 0 });
      } catch (error) {
        await engine.stop();
        throw error;
      }
      try {
        await serveData(engine, options.data, signal, (url) => {
          options.onListening?.({ url, adminUrl });
          ready();
        });
      } finally {
        await closeNow(admin);
      }
    },
  };
}

/** Runs an engine behind a data port until `signal` aborts, then drains and stops both. */
export async function serveData(
  engine: Engine,
  at: Listen,
  signal: AbortSignal,
  onListening: (url: string) => void,
): Promise<void> {
  const data = dataServer(engine.edge);
  try {
    await engine.start(signal);
    if (signal.aborted) return;
    const url = await listen(data, at);
    engine.setReady();
    onListening(url);
    await Promise.race([aborted(signal), engine.failed]);
  } finally {
    await engine.announceEnd(signal.aborted && data.listening);
    await drainServer(data, () => engine.edge.inFlight(), engine.drainMs);
    await engine.stop();
  }
}

/** The server of the data port, not yet listening. */
export function dataServer({
  handle,
  upgrade,
  unreadable,
}: Pick<Edge, 'handle' | 'upgrade' | 'unreadable'>): Server {
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      // Node would cut every upload after five minutes; ours may take as long as they make progress.
      requestTimeout: 0,
      maxHeaderSize: HEAD_BYTES,
      noDelay: true,
      // The handler refuses what has no Host field, and counts it.
      requireHostHeader: false,
      optimizeEmptyRequests: true,
    },
    handle,
  );
  // With a listener of our own, `100 Continue` is sent when the upstream wants the body.
  server.on('checkContinue', handle);
  // Other expectations are refused by the handler, like everything else that is refused.
  server.on('checkExpectation', handle);
  server.on('upgrade', (req, socket, head) => {
    upgrade(req, socket, head);
  });
  server.on('clientError', unreadable);
  return server;
}
