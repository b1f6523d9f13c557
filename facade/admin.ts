// The admin port: is it alive, is it ready, what does it count, what does it know. It tells and
// changes nothing; it listens on loopback unless told otherwise.
import express, { type Express } from 'express';
import type { CapabilityState } from '../control/domain/state.ts';
import type { HoldFigures } from './holds.ts';
import type { Metrics } from './metrics.ts';

export interface AdminSources {
  readonly replicaId: string;
  readonly isReady: () => boolean;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  readonly holds: (capability: string) => HoldFigures;
  readonly inFlight: () => number;
  readonly heartbeatAgeMs: () => number | undefined;
  readonly metrics: Metrics;
}

/** `GET /healthz`, `/readyz`, `/metrics`, `/state`. */
export function adminApp(sources: AdminSources): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_req, res) => {
    res.json({ status: 'ok' });
  });
  app.get('/readyz', (_req, res) => {
    const ready = sources.isReady();
    res.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not-ready' });
  });
  app.get('/metrics', async (_req, res) => {
    const { registry } = sources.metrics;
    res.type(registry.contentType).send(await registry.metrics());
  });
  app.get('/state', (_req, res) => {
    res.json({
      replica: sources.replicaId,
      ready: sources.isReady(),
      heartbeatAgeMs: sources.heartbeatAgeMs() ?? null,
      inFlight: sources.inFlight(),
      capabilities: [...sources.states().values()].map((state) => ({
        ...state,
        writes: sources.holds(state.capability),
      })),
    });
  });
  return app;
}
