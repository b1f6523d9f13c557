// One request while it is here: what was read of it, and the facts that the decision asks for. What
// costs something (cookies, query, random keys) is read only when it is asked for.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { RequestFacts } from './domain/decide.ts';
import { cookieValue, isOurs, readRequestHead, type RequestHead } from './domain/headers.ts';
import type { Trace } from './tracing.ts';
import { parseTarget, refused, type Refused, type Target } from './domain/target.ts';

export class Visit implements RequestFacts {
  readonly kind = 'visit';
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly target: Target;
  /** Of `performance.now()`. */
  readonly startedAt: number;
  /** Where it is sampled for tracing. */
  trace: Trace | undefined;
  /** How long it has waited for the end of a switch. */
  heldMs = 0;

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    head: RequestHead,
    target: Target,
    startedAt: number,
  ) {
    this.req = req;
    this.res = res;
    this.head = head;
    this.target = target;
    this.startedAt = startedAt;
  }

  get method(): string {
    return this.req.method ?? 'GET';
  }

  get segments(): readonly string[] {
    return this.target.segments;
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

  /** Address of whoever is connected. */
  get client(): string {
    return this.req.socket.remoteAddress ?? 'unknown';
  }

  get requestId(): string {
    return this.head.requestId;
  }

  header(name: string): string | undefined {
    const value = isOurs(name) ? undefined : this.req.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  cookie(name: string): string | undefined {
    return cookieValue(this.req.headers.cookie, name);
  }

  query(name: string): string | undefined {
    return new URLSearchParams(this.target.query).get(name) ?? undefined;
  }

  freshCohort(): string {
    return randomUUID();
  }
}

/** Reads a request; what could be read in two ways is refused. */
export function readVisit(
  req: IncomingMessage,
  res: ServerResponse,
  startedAt: number,
): Visit | Refused {
  // Node takes a bare `GET /x` for HTTP/0.9, and would let a body follow it.
  if (req.httpVersionMajor !== 1) return refused('the protocol version is not served');
  const target = parseTarget(urlOf(req));
  if (target.kind === 'refused') return target;
  const head = readRequestHead(req.rawHeaders, peerOf(req), randomUUID);
  if (head.kind === 'refused') return head;
  return new Visit(req, res, head, target, startedAt);
}

/** Express and connect strip the mount path from `url` and keep the whole in `originalUrl`. */
function urlOf(req: IncomingMessage): string {
  return (req as IncomingMessage & { originalUrl?: string }).originalUrl ?? req.url ?? '';
}

function peerOf(req: IncomingMessage): { address: string; proto: 'http' | 'https' } {
  const socket = req.socket as Partial<TLSSocket>;
  return {
    address: socket.remoteAddress ?? 'unknown',
    proto: socket.encrypted === true ? 'https' : 'http',
  };
}
