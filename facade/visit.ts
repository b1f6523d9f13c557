// One request while it is here: what was read of it, and the facts that the decision asks for. What
// costs something (cookies, query, random keys) is read only when it is asked for.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { RequestFacts } from './domain/decide.ts';
import { isHearsay, type Peer } from './domain/forwarded.ts';
import { claimOf } from './domain/claim.ts';
import { isOurs } from './domain/field-names.ts';
import { cookieValue, readRequestHead, type RequestHead } from './domain/headers.ts';
import { parseTarget, refused, settle, type Refused, type Target } from './domain/target.ts';
import type { EventStream } from './streams.ts';
import { requestIds } from './request-ids.ts';
import type { Trace } from './tracing.ts';
import type { Routes } from './domain/routes.ts';
import type { Trust } from './trust.ts';

const freshId = requestIds();

/** What it takes to read a request. */
export interface Reading {
  readonly routes: Pick<Routes, 'match'>;
  /** Which peers are believed what they say about their clients; none when left out. */
  readonly trusts?: Trust | undefined;
  /** A peer that is not trusted said something about its client. */
  readonly onHearsay?: (address: string) => void;
}

export class Visit implements RequestFacts {
  readonly kind = 'visit';
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly target: Target;
  readonly segments: readonly string[];
  readonly certain: boolean;
  /** Of `performance.now()`. */
  readonly startedAt: number;
  /** Where it is sampled for tracing. */
  trace: Trace | undefined;
  /** What its peer says of its client is believed. */
  readonly trusted: boolean;
  readonly #trusts: Trust | undefined;
  /** Its answer, where that is an event stream. */
  stream: EventStream | undefined;
  /** How long it has waited for the end of a switch. */
  heldMs = 0;

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    head: RequestHead,
    target: Target,
    reading: { readonly segments: readonly string[]; readonly certain: boolean },
    startedAt: number,
    trusted: boolean,
    trusts: Trust | undefined,
  ) {
    this.req = req;
    this.res = res;
    this.head = head;
    this.target = target;
    this.segments = reading.segments;
    this.certain = reading.certain;
    this.startedAt = startedAt;
    this.trusted = trusted;
    this.#trusts = trusts;
  }

  get method(): string {
    return this.req.method ?? 'GET';
  }

  get takenMethod(): string {
    return takenMethod(this.req);
  }

  /** Without the query and the parameters of segments (`;jsessionid=…`), which may hold secrets. */
  get path(): string {
    const { raw, query } = this.target;
    const path = query === '' ? raw : raw.slice(0, raw.indexOf('?'));
    return path.includes(';') ? path.replace(/;[^/]*/g, '') : path;
  }

  get traceparent(): string | undefined {
    return this.req.headers['traceparent']?.toString();
  }

  /** The client's address: whoever is connected, or whom the first of our proxies names that it came to. */
  get client(): string {
    const hops = (this.forwarded('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim());
    return hops.findLast((hop) => this.#trusts?.(hop) !== true) ?? hops[0] ?? '';
  }

  /** The first field of this name, in lower case, that upstreams get. */
  forwarded(name: string): string | undefined {
    const { headers } = this.head;
    for (let at = 0; at + 1 < headers.length; at += 2)
      if (headers[at]?.toLowerCase() === name) return headers[at + 1];
    return undefined;
  }

  get requestId(): string {
    return this.head.requestId;
  }

  header(name: string): string | undefined {
    const isSaid = !isOurs(name) || (this.trusted && isHearsay(name));
    const value = isSaid ? this.req.headers[name] : undefined;
    return Array.isArray(value) ? value.join(', ') : value;
  }

  cookie(name: string): string | undefined {
    return cookieValue(this.req.headers.cookie, name);
  }

  claim(name: string): string | undefined {
    return claimOf(this.req.headers.authorization, name);
  }

  query(name: string): string | undefined {
    const { query } = this.target;
    return query === '' ? undefined : (new URLSearchParams(query).get(name) ?? undefined);
  }

  freshCohort(): string {
    return randomUUID();
  }
}

/** Reads a request; what could be read in two ways is refused where it matters. */
export function readVisit(
  req: IncomingMessage,
  res: ServerResponse,
  startedAt: number,
  { routes, trusts, onHearsay }: Reading,
): Visit | Refused {
  // Node takes a bare `GET /x` for HTTP/0.9, and would let a body follow it.
  if (req.httpVersionMajor !== 1) return refused('the protocol version is not served');
  const isOld = req.httpVersionMinor === 0;
  const peer = peerOf(req, trusts);
  const head = readRequestHead(req.rawHeaders, peer, freshId, isOld);
  if (head.kind === 'refused') return head;
  if (head.hearsay) onHearsay?.(peer.address);
  const target = parseTarget(urlOf(req), head.host);
  if (target.kind === 'refused') return target;
  const method = takenMethod(req);
  const settled = settle(target, (segments) => routes.match(method, segments));
  if (settled.kind === 'refused') return settled;
  return new Visit(req, res, head, target, settled, startedAt, peer.trusted, trusts);
}

const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override'];
const OVERRIDING = new Set(['PUT', 'PATCH', 'DELETE']);

/**
 * Many frameworks take a POST for another method that it names in a field. Only for one that writes as well:
 * where the upstream does not know the field, the request is a write all the same.
 */
function takenMethod(req: IncomingMessage): string {
  const { method = 'GET' } = req;
  if (method !== 'POST') return method;
  for (const name of OVERRIDES) {
    const said = req.headers[name]?.toString().trim().toUpperCase() ?? '';
    if (OVERRIDING.has(said)) return said;
  }
  return method;
}

/** The facts of a request, decided again for the client that it was decided for: with the key that he was given. */
export function withCohort(visit: Visit, key: string | undefined): Visit {
  if (key === undefined) return visit;
  return Object.create(visit, { freshCohort: { value: () => key } }) as Visit;
}

/** Express and connect strip the mount path from `url` and keep the whole in `originalUrl`. */
function urlOf(req: IncomingMessage): string {
  return (req as IncomingMessage & { originalUrl?: string }).originalUrl ?? req.url ?? '';
}

function peerOf(req: IncomingMessage, trusts: Trust | undefined): Peer {
  const socket = req.socket as Partial<TLSSocket>;
  const address = plainAddress(socket.remoteAddress);
  return {
    address,
    proto: socket.encrypted === true ? 'https' : 'http',
    trusted: trusts !== undefined && trusts(address),
  };
}

/** IPv4 in its own notation, and no zone, which means something on this machine only. */
function plainAddress(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}
