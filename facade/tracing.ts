// A request as OpenTelemetry sees it: one server span, a client span for each attempt and for the
// shadow copy, all in the trace that the client's traceparent names. A request that is not sampled
// has no trace object: its fields pass untouched and nothing is spent on it.
// Names follow OpenTelemetry's semantic conventions for HTTP.
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace as otel,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import type { CapabilityState } from '../control/domain/state.ts';
import type { Match } from './domain/routes.ts';
import { formatTraceParent, parseTraceParent } from './domain/trace.ts';

export interface TracedRequest {
  readonly method: string;
  /** Without secrets. */
  readonly path: string;
  readonly requestId: string;
  /** Of `performance.now()`. */
  readonly startedAt: number;
  readonly traceparent: string | undefined;
}

const PARENT: ReadonlySet<string> = new Set(['traceparent']);
const WHOLE_CONTEXT: ReadonlySet<string> = new Set(['traceparent', 'tracestate']);

/** Begins the trace of a request; undefined when it is not sampled. */
export type Tracing = (
  request: TracedRequest,
  match: Match | undefined,
  state: CapabilityState | undefined,
) => Trace | undefined;

/** Spans made by `tracer`; a tracer that records nothing costs one call a request. */
export function createTracing(tracer: Tracer): Tracing {
  return (request, match, state) => {
    const parent = parseTraceParent(request.traceparent);
    const span = tracer.startSpan(
      match?.label ?? request.method,
      {
        kind: SpanKind.SERVER,
        startTime: performance.timeOrigin + request.startedAt,
        attributes: {
          'http.request.method': request.method,
          'url.path': request.path,
          'banyan.request_id': request.requestId,
          ...(match && { 'http.route': match.path, 'banyan.capability': match.capability }),
          ...(state && { 'banyan.phase': state.phase, 'banyan.version': state.version }),
        },
      },
      parent
        ? otel.setSpanContext(ROOT_CONTEXT, {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: parent.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
            isRemote: true,
          })
        : ROOT_CONTEXT,
    );
    return span.isRecording() ? new Trace(tracer, span, request.method, !parent) : undefined;
  };
}

export class Trace {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #method: string;
  readonly #context: Context;
  /** Nobody's span is its parent. */
  readonly #isNew: boolean;

  constructor(tracer: Tracer, span: Span, method: string, isNew: boolean) {
    this.#tracer = tracer;
    this.#span = span;
    this.#method = method;
    this.#isNew = isNew;
    this.#context = otel.setSpan(ROOT_CONTEXT, span);
  }

  get id(): string {
    return this.#span.spanContext().traceId;
  }

  /** The span of one request to an upstream. */
  leg(attributes: Attributes): Leg {
    return new Leg(
      this.#tracer.startSpan(
        this.#method,
        {
          kind: SpanKind.CLIENT,
          attributes: { 'http.request.method': this.#method, ...attributes },
        },
        this.#context,
      ),
      this.#isNew,
    );
  }

  /** The client has its answer. */
  end(status: number, attributes: Attributes): void {
    this.#span.setAttributes({ 'http.response.status_code': status, ...attributes });
    if (status >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.end();
  }
}

export class Leg {
  readonly #span: Span;
  /** Fields of the client's trace that do not go on: what vendors said of another trace does not hold for a new one. */
  readonly #replaced: ReadonlySet<string>;

  constructor(span: Span, isNew: boolean) {
    this.#span = span;
    this.#replaced = isNew ? WHOLE_CONTEXT : PARENT;
  }

  /** The fields to send: the same, but with this span as the parent (W3C Trace Context §3.2, §3.3). */
  under(fields: readonly string[]): string[] {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
    const kept = fields.filter(
      (_, at) => !this.#replaced.has(fields[at - (at % 2)]?.toLowerCase() ?? ''),
    );
    return [...kept, 'traceparent', formatTraceParent({ traceId, spanId, sampled })];
  }

  answered(status: number): void {
    this.#span.setAttribute('http.response.status_code', status);
    if (status >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }

  failed(error: Error): void {
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }

  /** What a shadow copy has told: `matched`, `mismatched`, or why it was dropped. */
  judged(verdict: string): void {
    this.#span.setAttribute('banyan.shadow.verdict', verdict);
  }

  end(): void {
    this.#span.end();
  }
}
