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

/**
 * Makes the pools; connects lazily. `onSocket` is shown every connection before it is used. Throws
 * CONFIG_INVALID for what is no HTTP URL.
 */
export function openUpstreams(
  urls: UpstreamUrls,
  limits: PoolLimits,
  onSocket?: (socket: Socket) => void,
): Upstreams {
  const pools = new Map<string, Pool>();
  const open = (path: Owner, base: string): Upstream => {
    const url = parseBase(base);
    let pool = pools.get(url.origin);
    if (!pool) {
      pool = new Pool(url.origin, {
        connections: limits.connections,
        pipelining: 1,
        connect: onSocket
          ? connectorWith(limits.connectTimeoutMs, onSocket)
          : { timeout: limits.connectTimeoutMs },
        // The exchange keeps the deadline of the whole request, queue included.
        headersTimeout: 0,
        bodyTimeout: limits.idleTimeoutMs,
        maxHeaderSize: 65_536,
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

function connectorWith(
  timeout: number,
  onSocket: (socket: Socket) => void,
): buildConnector.connector {
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
