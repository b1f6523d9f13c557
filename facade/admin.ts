// The admin port: is it alive, is it ready, what does it count, what does it know. It tells and
// changes nothing; it listens on loopback unless told otherwise. Whatever is asked, the answer is
// JSON (or the metrics' text) and comes in bounded time.
import express, { type ErrorRequestHandler, type Express } from 'express';
import { createServer, type Server } from 'node:http';

export interface Readiness {
  readonly ready: boolean;
  /** What it still waits for, or that it ends; empty when ready. */
  readonly missing: readonly string[];
}

/** What the admin port can tell: of one replica, or of all workers together. */
export interface AdminView {
  readiness(): Readiness;
  /** For `/state`. */
  state(): Promise<object>;
  /** In Prometheus' text format. */
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
}

/** `GET /healthz`, `/readyz`, `/metrics`, `/state`. */
export function adminApp(view: AdminView): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_req, res) => {
    res.json({ status: 'ok' });
  });
  app.get('/readyz', (_req, res) => {
    const { ready, missing } = view.readiness();
    res
      .status(ready ? 200 : 503)
      .json(ready ? { status: 'ready' } : { status: 'not-ready', missing });
  });
  app.get('/metrics', async (_req, res) => {
    const { type, text } = await view.metrics();
    res.type(type).send(text);
  });
  app.get('/state', async (_req, res) => {
    res.json(await view.state());
  });
  app.use((req, res) => {
    res.status(404).json({ status: 404, title: 'Not Found', detail: `there is no ${req.path}` });
  });
  const onError: ErrorRequestHandler = (error: { status?: number }, _req, res, next) => {
    if (res.headersSent) {
      next(error);
      return;
    }
    // Express knows of a mistake of the client's by its status; anything else is not shown.
    const status = error.status !== undefined && error.status < 500 ? error.status : 500;
    res.status(status).json({ status, title: status === 500 ? 'Internal Error' : 'Bad Request' });
  };
  app.use(onError);
  return app;
}

/** A server for it that nobody can hold up: requests come in time, and silent connections are closed. */
export function adminServer(app: Express): Server {
  const server = createServer(
    {
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
    },
    app,
  );
  server.setTimeout(30_000);
  return server;
}
