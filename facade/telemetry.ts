// The OpenTelemetry SDK of the standalone facade: spans in batches to a collector by OTLP over HTTP.
// It is loaded only where tracing is asked for. A collector that is not there costs the traffic
// nothing: spans are dropped, and the log says so once until it answers again.
import type { Tracer } from '@opentelemetry/api';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import type { Migration } from '../control/definition.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';

export interface Telemetry {
  readonly tracer: Tracer;
  /** Sends what is left, for a bounded time. */
  stop(): Promise<void>;
}

export type TracingSettings = Exclude<Migration['facade']['tracing'], false>;

const LAST_WORDS_MS = 3_000;
/** One batch, its retries included; what takes longer is dropped. */
const SEND_MS = 2_000;

/** Without `settings.endpoint` the exporter's own environment variables (OTEL_EXPORTER_OTLP_…) hold. */
export async function openTelemetry(settings: TracingSettings, log: Logger): Promise<Telemetry> {
  const sdk = await import('@opentelemetry/sdk-trace');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const { endpoint, sample, service } = settings;
  const exporter = new OTLPTraceExporter({
    timeoutMillis: SEND_MS,
    ...(endpoint !== undefined && { url: endpoint }),
  });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(sample) }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: sayingOnce(exporter, log) })],
  });
  return {
    tracer: provider.getTracer('banyan'),
    stop: async () => {
      const over = new AbortController();
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        sleep(LAST_WORDS_MS, over.signal),
      ]);
      over.abort();
    },
  };
}

/** The same exporter; failures in a row are one line of the log. */
function sayingOnce(exporter: SpanExporter, log: Logger): SpanExporter {
  let failing = false;
  return {
    export: (spans, done) => {
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined;
        if (failed && !failing)
          log.warn('spans cannot be sent; they are dropped until the collector answers', {
            error: result.error?.message,
          });
        failing = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    ...(exporter.forceFlush && { forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve() }),
  };
}
