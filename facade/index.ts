// Public entry point `banyan/facade`: the edge inside a team's own application. Claimed requests are
// answered here, by the same handler that the standalone facade runs; all others go to `next`.
//
//   const facade = createFacade({ migration, upstreams, controlUrl, log });
//   app.use(facade.middleware);              // before any body parser
//   server.on('upgrade', (req, socket, head) => {
//     facade.upgrade(req, socket, head, () => own.handleUpgrade(req, socket, head, …));
//   });
//   await supervise([facade.part], signal);  // or facade.part.run(signal, () => {})
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { migrateControl } from '../control/store.ts';
import { messageOf } from '../core/errors.ts';
import { aborted, type Part } from '../core/lifecycle.ts';
import type { Next } from './edge.ts';
import { createEngine, type EngineOptions } from './engine.ts';
import { answered } from './listening.ts';
import { serveWithoutUpgrade } from './raw-socket.ts';

export type { EngineOptions as FacadeOptions } from './engine.ts';
export type { UpstreamUrls } from './upstreams.ts';
export type { Part } from '../core/lifecycle.ts';
export { createLogger, type Logger } from '../core/log.ts';
export { facadePart, type FacadeServerOptions } from './server.ts';
export type { Listen } from './listening.ts';
export { primaryPart, type PrimaryOptions } from './primary.ts';
export { runWorker, type Channel } from './worker.ts';

export type Middleware = (req: IncomingMessage, res: ServerResponse, next: Next) => void;

export type Upgrade = (
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  next?: () => void,
) => void;

export interface Facade {
  /** Mount it before anything that reads request bodies. Claimed requests get 503 until the states are known. */
  readonly middleware: Middleware;
  /**
   * Answers an upgrade (WebSocket) that a capability claims: wire it to the server's `upgrade` event.
   * What is unclaimed goes to `next`, untouched; without one, the server's other `upgrade` listeners
   * have it, and where there are none the application gets it as an ordinary request, as it would
   * without us.
   */
  readonly upgrade: Upgrade;
  /** The admin API as a handler, to mount or to listen with. */
  readonly admin: (req: IncomingMessage, res: ServerResponse) => void;
  /**
   * Registers the replica and follows the states; run it beside the application. When it is told to stop, requests
   * in flight get their answers within ten seconds, and what is claimed after that gets 503; stop listening before.
   */
  readonly part: Part;
}

/** A facade for an application that listens by itself. Does no I/O before `part` runs. */
export function createFacade(options: EngineOptions): Facade {
  const engine = createEngine(options);
  return {
    middleware: (req, res, next) => {
      engine.edge.handle(req, res, next);
    },
    upgrade: (req, socket, head, next) => {
      engine.edge.upgrade(req, socket, head, next ?? orElse(req, socket, head));
    },
    admin: engine.admin,
    part: {
      name: 'facade',
      run: async (signal, ready) => {
        try {
          // An application that embeds the edge may be the first to come to a control database.
          await migrateControl(options.controlUrl).catch((error: unknown) => {
            options.log.warn('the control database could not be prepared', {
              error: messageOf(error),
            });
          });
          await engine.start(signal);
          if (signal.aborted) return;
          engine.setReady();
          ready();
          await Promise.race([aborted(signal), engine.failed]);
        } finally {
          await engine.announceEnd(signal.aborted);
          // The application still listens: what it lets in meanwhile is waited for as well.
          await answered(() => engine.edge.inFlight(), engine.drainMs);
          engine.edge.close();
          await engine.stop();
        }
      },
    },
  };
}

/** For an upgrade that nobody claims: other listeners of the server have it, or the application. */
function orElse(req: IncomingMessage, socket: Duplex, head: Buffer): () => void {
  return () => {
    const { server } = socket as Duplex & { server?: EventEmitter };
    if ((server?.listenerCount('upgrade') ?? 0) <= 1) serveWithoutUpgrade(req, socket, head);
  };
}
