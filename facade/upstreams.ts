// Where requests are forwarded to: one pool of connections per origin. The addresses come from the
// definition alone; no request ever names one.
import type { Owner } from '../control/domain/phase.ts';
import { BanyanError } from '../core/errors.ts';
import { hostOf, servernameOf } from './dial.ts';
import type { Pool } from './pool.ts';

export interface UpstreamUrls {
  readonly monolith: string;
  /** By the name under `services`. */
  readonly services: Readonly<Record<string, string>>;
}

export interface Upstream<P = Pool> {
  readonly path: Owner;
  readonly pool: P;
  /** `http://host:port`, for connections that no pool can hold. */
  readonly origin: string;
  /** Path of the base URL, without its trailing slash; put before every request's path. */
  readonly prefix: string;
  /**
   * For TLS: the name that it is asked for by and that its certificate is checked against, for the Host field stays
   * the client's. Empty for an address, which RFC 6066 §3 does not have as a name: the certificate is checked against it.
   */
  readonly servername: string | undefined;
}

export interface Upstreams<P = Pool> {
  readonly monolith: Upstream<P>;
  service(name: string): Upstream<P>;
  close(): Promise<void>;
}

/** The largest head of an answer. */
export const HEAD_BYTES = 65_536;

/**
 * Makes the pools, one for each origin. Throws CONFIG_INVALID for what is no HTTP URL.
 */
export function openUpstreams<P extends { close(): Promise<void> | void }>(
  urls: UpstreamUrls,
  makePool: (origin: URL) => P,
): Upstreams<P> {
  const pools = new Map<string, P>();
  const open = (path: Owner, base: string): Upstream<P> => {
    const url = parseBase(base);
    const { origin } = url;
    const pool = pools.get(origin) ?? makePool(new URL(origin));
    pools.set(origin, pool);
    return {
      ...{ path, pool, origin },
      prefix: url.pathname.replace(/\/+$/, ''),
      servername: url.protocol === 'https:' ? servernameOf(hostOf(url)) : undefined,
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
      await Promise.all(Array.from(pools.values(), async (pool) => pool.close()));
    },
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
