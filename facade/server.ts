// The standalone facade: a data port straight on node:http and an admin port. It takes no request
// before it knows the states. When told to stop: readiness off, no new connections, the requests in
// flight get their answers within a bounded time, then everything is closed and the replica leaves.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics } from 'prom-client';
import { aborted, sleep, type Part } from '../core/lifecycle.ts';
import type { Edge } from './edge.ts';
import { createEngine, type EngineOptions } from './engine.ts';
import { openTelemetry } from './telemetry.ts';

export interface Listen {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface FacadeServerOptions extends EngineOptions {
  readonly data: Listen;
  /** A free port of loopback when left out. */
  readonly admin?: Listen;
  /** Called once both ports listen, with their real numbers. */
  readonly onListening?: (at: { readonly url: string; readonly adminUrl: string }) => void;
}

// Longer than the keep-alive of a usual load balancer, which must be the side that closes.
const KEEP_ALIVE_MS = 65_000;
const DRAIN_MS = 10_000;
/** Cookies grow; an upstream that takes less says so itself. */
const HEAD_BYTES = 65_536;

/** The facade as a part of a process: `banyan facade` runs it, `banyan up` among others. */
export function facadePart(options: FacadeServerOptions): Part {
  return {
    name: 'facade',
    run: async (signal, ready) => {
      const { tracing } = options.migration.facade;
      const telemetry =
        tracing === false || options.tracer ? undefined : await openTelemetry(tracing, options.log);
      const engine = createEngine({ ...options, tracer: options.tracer ?? telemetry?.tracer });
      collectDefaultMetrics({ register: engine.metrics.registry });
      const data = dataServer(engine.edge);
      const admin = createServer(engine.admin);
      try {
        const adminUrl = await listen(admin, options.admin ?? { host: '127.0.0.1', port: 0 });
        await engine.start(signal);
        if (signal.aborted) return;
        const url = await listen(data, options.data);
        engine.setReady(true);
        options.onListening?.({ url, adminUrl });
        ready();
        await Promise.race([aborted(signal), engine.failed]);
      } finally {
        engine.setReady(false);
        engine.edge.drain();
        await drain(data, () => engine.edge.inFlight());
        await engine.stop();
        await telemetry?.stop();
        await closeNow(admin);
      }
    },
  };
}

/** The server of the data port, not yet listening. */
export function dataServer({ handle, upgrade }: Pick<Edge, 'handle' | 'upgrade'>): Server {
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: HEAD_BYTES, noDelay: true },
    handle,
  );
  // With a listener of our own, `100 Continue` is sent when the upstream wants the body.
  server.on('checkContinue', handle);
  // Other expectations are refused by the handler, like everything else that is refused.
  server.on('checkExpectation', handle);
  server.on('upgrade', (req, socket, head) => {
    upgrade(req, socket, head);
  });
  return server;
}

async function listen(server: Server, at: Listen): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

/** Stops accepting and waits for the answers that are due, for a bounded time. */
async function drain(server: Server, inFlight: () => number): Promise<void> {
  if (!server.listening) return;
  const closed = Promise.withResolvers<undefined>();
  server.close(() => {
    closed.resolve(undefined);
  });
  const over = new AbortController();
  void closed.promise.then(() => {
    over.abort();
  });
  const deadline = performance.now() + DRAIN_MS;
  while (!over.signal.aborted && performance.now() < deadline) {
    // A connection that has become idle is closed at once, not after its keep-alive.
    server.closeIdleConnections();
    await sleep(inFlight() > 0 ? 25 : 5, over.signal);
  }
  server.closeAllConnections();
  await closed.promise;
}

async function closeNow(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  server.closeAllConnections();
  await closed;
}
