// What a team may set of the edge; the shape of `facade` in a definition.
import { z } from 'zod';
import { parseNetworks } from '../core/networks.ts';
import { share, text, wait } from './schema-words.ts';

const breaker = z.strictObject({
  /** Share of failing requests, above 0 and below 1, at which the circuit opens. */
  threshold: z.number().gt(0).lt(1).default(0.5),
  windowMs: z.number().int().min(1_000).default(10_000),
  /** Fewer requests than this in a window open nothing. */
  minimumRequests: z.number().int().positive().default(20),
  /** How long it stays open before one request probes; doubles with each failed probe. */
  openMs: z.number().int().positive().default(1_000),
  maxOpenMs: z.number().int().positive().default(15_000),
});

/** How long a coordinator keeps writers waiting for what, by how long facades let them wait at all. */
export interface HoldLimits {
  /** For writes in flight. */
  readonly acknowledgeMs: number;
  /** For a facade that has fallen silent to lose its lease. */
  readonly silentMs: number;
  /** For a flow to drain. */
  readonly drainMs: number;
  /** From the hold to the flip, all together: what is left is for facades to hear of it. */
  readonly flipMs: number;
}

export function holdLimits({ timeoutMs }: { readonly timeoutMs: number }): HoldLimits {
  const toHear = Math.min(timeoutMs / 2, Math.max(timeoutMs / 10, 250));
  return {
    acknowledgeMs: Math.floor(timeoutMs * 0.4),
    silentMs: Math.floor(timeoutMs * 0.6),
    drainMs: Math.floor(timeoutMs * 0.6),
    flipMs: Math.floor(timeoutMs - toHear),
  };
}

/** Under `facade` in a definition. */
export const facade = z
  .strictObject({
    /** From the arrival of a request to its answer's first byte, retries and fallback included. */
    timeoutMs: wait.default(3_000),
    connectTimeoutMs: wait.default(1_000),
    /** Unused connections to an upstream that says nothing of how long it keeps them; most do for 5 s. */
    keepAliveMs: wait.default(4_000),
    /** What no capability claims knows no routes, and may hold the monolith's slowest pages. */
    unclaimed: z.strictObject({ timeoutMs: wait.default(60_000) }).prefault({}),
    /** A begun answer that stands still for this long is given up, on either side. */
    idleTimeoutMs: wait.default(300_000),
    retry: z
      .strictObject({
        /** Times that a request is sent again at most. */
        attempts: z.number().int().min(0).default(2),
        /** Retries as a share of the requests of the last ten seconds. */
        budget: share.default(0.2),
        /** Bodies up to this size are kept so that they can be sent again. */
        bodyBytes: z.number().int().min(0).default(65_536),
      })
      .prefault({}),
    /** Per upstream and route; false leaves it out. */
    breaker: z.union([z.literal(false), breaker]).prefault({}),
    bulkhead: z
      .strictObject({
        /** Connections to one upstream. */
        connections: z.number().int().positive().default(2_048),
        /** Requests that one route may have at one upstream at once: by default half of them. */
        route: z.number().int().positive().default(1_024),
      })
      .prefault({}),
    /** The other path is fresh while it lags by no more than this. */
    fallback: z.strictObject({ maxLagMs: z.number().positive().default(1_000) }).prefault({}),
    /** One line for a share of the requests, and for answers of 500 and above; false for none. */
    accessLog: z
      .union([z.literal(false), z.strictObject({ sample: share.default(1) })])
      .default(false),
    /** Spans to an OpenTelemetry collector; false for none. */
    tracing: z
      .union([
        z.literal(false),
        z.strictObject({
          /** URL of its OTLP/HTTP traces endpoint; by OTEL_EXPORTER_OTLP_ENDPOINT where left out. */
          endpoint: text.optional(),
          /** Share of the traces that begin here; those that come in decide for themselves. */
          sample: share.default(0.1),
          service: text.default('banyan-facade'),
        }),
      ])
      .default(false),
    /** Standing delay of the event loop at which shadow copies are shed; requests at a multiple. */
    shedding: z
      .union([z.literal(false), z.strictObject({ delayMs: z.number().int().min(5).default(50) })])
      .prefault({}),
    /**
     * Proxies in front of the facade that are believed what they say about their clients: addresses,
     * CIDRs, `loopback`, `private`. What others say in X-Forwarded-* and the like is dropped.
     */
    trustedProxies: z
      .array(
        text.refine(
          (entry) => parseNetworks(entry) !== undefined,
          'is not an address, a CIDR like 10.0.0.0/8, loopback or private',
        ),
      )
      .default([]),
    /** Writes that may wait during a switch, and for how long. */
    hold: z
      .strictObject({
        limit: z.number().int().positive().default(1_000),
        timeoutMs: wait.default(10_000),
      })
      .prefault({}),
    /**
     * How long an upgraded connection (WebSocket) may go on when its capability is switched or the
     * facade ends: never more than half of what a coordinator waits for a replica.
     */
    upgrades: z
      .strictObject({ drainMs: z.number().positive().max(2_000).default(1_000) })
      .prefault({}),
    /**
     * How a replica ends: it says so at `/readyz` and goes on as ever for `delayMs`, until whoever sends
     * traffic has seen that; answers under way have `timeoutMs` from then on.
     */
    drain: z
      .strictObject({
        delayMs: z.union([z.literal(0), wait]).default(0),
        timeoutMs: wait.default(10_000),
      })
      .prefault({}),
    shadow: z
      .strictObject({
        concurrency: z.number().int().positive().default(16),
        /** Larger answers are not compared: their parsing would be felt by clients. */
        bodyBytes: z.number().int().positive().default(262_144),
        /** All bodies that copies keep, together. */
        memoryBytes: z.number().int().positive().default(33_554_432),
        /** Share of one processor that copies may use. */
        cpu: share.default(0.1),
        /** Bytes that copies may bring in: each leaves garbage, and its collection stops clients too. */
        bytesPerSecond: z.number().positive().default(1_048_576),
        /** Questions to the monolith beside the clients' own, to check differences; plus 10 % of the copies. */
        repeatsPerSecond: z.number().positive().default(50),
      })
      .prefault({})
      .refine(
        (given) => given.memoryBytes >= 4 * given.bodyBytes,
        'memoryBytes must be at least four times bodyBytes',
      ),
  })
  // Writes wait while a tunnel ends.
  .transform((given) => ({
    ...given,
    upgrades: {
      drainMs: Math.min(given.upgrades.drainMs, holdLimits(given.hold).acknowledgeMs / 2),
    },
  }))
  .prefault({});
