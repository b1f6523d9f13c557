// The engine of a process of its own: with the figures of the process, and with spans where the
// definition asks for them. An application that embeds the edge has both of its own.
import { collectDefaultMetrics } from 'prom-client';
import { createEngine, type Engine, type EngineOptions } from './engine.ts';
import { openTelemetry } from './telemetry.ts';

export async function standaloneEngine(options: EngineOptions): Promise<Engine> {
  const { tracing } = options.migration.facade;
  const telemetry =
    tracing === false || options.tracer ? undefined : await openTelemetry(tracing, options.log);
  const engine = createEngine({ ...options, tracer: options.tracer ?? telemetry?.tracer });
  collectDefaultMetrics({ register: engine.metrics.registry });
  return {
    ...engine,
    stop: async () => {
      await engine.stop();
      await telemetry?.stop();
    },
  };
}
