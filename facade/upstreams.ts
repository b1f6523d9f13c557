// Where requests are forwarded to: one undici pool per origin. The addresses come from the
// definition alone; no request ever names one.
import type { Socket } from 'node:net';
import { buildConnector, Pool } from 'undici';
import type { Owner } from '../control/domain/phase.ts';
import { BanyanError } from '../core/errors.ts';

export interface UpstreamUrls {
  readonly monolith: string;
  /** By the name under `services`. */
  readonly services: Readonly<Record<string, string>>;
}

export interface Upstream {
  readonly path: Owner;
  readonly pool: Pool;
  /** `http://host:port`, for connections that no pool can hold. */
  readonly origin: string;
  /** Path of the base URL, without its trailing slash; put before every request's path. */
  readonly prefix: string;
  /** Name that a TLS upstream's certificate is checked against; the Host field stays the client's. */
  readonly servername: string | undefined;
}

export interface Upstreams {
  readonly monolith: Upstream;
  service(name: string): Upstream;
  close(): Promise<void>;
}

export interface PoolLimits {
  /** To one origin. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** An upstream that falls silent in the middle of an answer is given up after this. */
  readonly idleTimeoutMs: number;
}

/** For connections on which nobody's patience is to be spent. */
export interface SocketGuard {
  /** Is shown every connection before it is used. */
  readonly onSocket: (socket: Socket) => void;
  /** The largest head of an answer. */
  readonly headBytes: number;
}

const HEAD_BYTES = 65_536;

/**
 * Makes the pools; connects lazily. Throws CONFIG_INVALID for what is no HTTP URL.
 */
export function openUpstreams(
  urls: UpstreamUrls,
  limits: PoolLimits,
  guard?: SocketGuard,
): Upstreams {
  const pools = new Map<string, Pool>();
  const open = (path: Owner, base: string): Upstream => {
    const url = parseBase(base);
    let pool = pools.get(url.origin);
    if (!pool) {
      pool = new Pool(url.origin, {
        connections: limits.connections,
        pipelining: 1,
        connect: guard
          ? guarded(limits.connectTimeoutMs, guard)
          : { timeout: limits.connectTimeoutMs },
        // The exchange keeps the deadline of the whole request, queue included.
        headersTimeout: 0,
        bodyTimeout: limits.idleTimeoutMs,
        maxHeaderSize: guard?.headBytes ?? HEAD_BYTES,
      });
      pools.set(url.origin, pool);
    }
    return {
      path,
      pool,
      origin: url.origin,
      prefix: url.pathname.replace(/\/+$/, ''),
      servername: url.protocol === 'https:' ? url.hostname : undefined,
    };
  };
  const monolith = open('monolith', urls.monolith);
  const services = new Map(
    Object.entries(urls.services).map(([name, base]) => [name, open('service', base)]),
  );
  return {
    monolith,
    service: (name) => {
      const found = services.get(name);
      if (!found) throw new Error(`no upstream for service "${name}"`);
      return found;
    },
    close: async () => {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
    },
  };
}

function guarded(timeout: number, { onSocket }: SocketGuard): buildConnector.connector {
  const connect = buildConnector({ timeout });
  return (options, callback) => {
    connect(options, (...given) => {
      if (given[1]) onSocket(given[1]);
      callback(...given);
    });
  };
}

function parseBase(base: string): URL {
  const url = URL.parse(base);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  // The text is not shown: whatever it is, it may hold a secret.
  throw new BanyanError('CONFIG_INVALID', 'an upstream is not an http or https URL', {
    hint: 'Write upstreams like http://shop.internal:8080.',
  });
}
