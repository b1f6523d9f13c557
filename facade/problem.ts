// The facade's own answers: `application/problem+json` (RFC 9457), never naming an upstream. What
// the status promises: 400, 403, 417, 501 and 503 were forwarded to nobody; after 408, 502 and 504 nobody knows.
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeAfter } from './closing.ts';
import type { Refused } from './domain/target.ts';
import { addOwnCookies } from './own-cookies.ts';

export interface Problem {
  readonly status: 400 | 403 | 408 | 417 | 500 | 501 | 502 | 503 | 504;
  readonly title: string;
  readonly detail: string;
  /** Seconds, as Retry-After. */
  readonly retryAfterS?: number;
  /** Ends the connection after this answer. */
  readonly close?: boolean;
}

const unavailable = (detail: string): Problem => ({
  status: 503,
  title: 'Service Unavailable',
  detail: `${detail} The request was not forwarded.`,
  retryAfterS: 1,
});

export const PROBLEMS = {
  'state-unknown': unavailable('The state of the migration is not known yet.'),
  'lease-lapsed': unavailable('The state of the migration is not known any more.'),
  full: unavailable('Writes are paused, and too many wait already.'),
  'too-long': unavailable('Writes are paused for longer than they may wait.'),
  closing: unavailable('This server ends.'),
  overloaded: unavailable('This server has more to do than it can.'),
  busy: unavailable('Too many requests of this kind are under way.'),
  'circuit-open': unavailable('The upstream has not answered of late.'),
  upgrade: {
    status: 501,
    title: 'Not Implemented',
    detail: 'Connections are not upgraded here.',
    close: true,
  },
  copy: {
    status: 403,
    title: 'Forbidden',
    detail: 'It was asked for a shadow copy, and those must change nothing.',
  },
  'body-taken': {
    status: 500,
    title: 'Internal Server Error',
    detail: 'The body was read before the facade could forward it: mount it before body parsers.',
    close: true,
  },
  'body-late': {
    status: 408,
    title: 'Request Timeout',
    detail: 'The rest of the body did not come in time.',
    close: true,
  },
  ambiguous: {
    status: 400,
    title: 'Bad Request',
    detail: 'The request was not forwarded: the path can be read as different routes.',
    close: true,
  },
  unforwardable: {
    status: 400,
    title: 'Bad Request',
    detail: 'The request has a field that cannot be forwarded.',
    close: true,
  },
  broken: {
    status: 502,
    title: 'Bad Gateway',
    detail: 'The upstream did not answer properly.',
  },
  late: {
    status: 504,
    title: 'Gateway Timeout',
    detail: 'The upstream did not answer in time.',
  },
} as const satisfies Record<string, Problem>;

/** As figures and logs name it. */
export type ProblemName = keyof typeof PROBLEMS;

/** A request that could be read in two ways, or that expects what is not served. */
export function refusedProblem({ why, status }: Refused): Problem {
  return {
    status,
    title: status === 417 ? 'Expectation Failed' : 'Bad Request',
    detail: `The request was not forwarded: ${why}.`,
    close: true,
  };
}

/** Answers with a problem, unless an answer has begun. */
export function answerProblem(
  req: IncomingMessage,
  res: ServerResponse,
  problem: Problem,
  requestId?: string,
  added: readonly string[] = [],
): void {
  if (res.headersSent || res.destroyed) return;
  const { status, title, detail } = problem;
  const body = JSON.stringify({ type: 'about:blank', title, status, detail, requestId });
  const headers = [
    'content-type',
    'application/problem+json',
    'content-length',
    String(Buffer.byteLength(body)),
    'cache-control',
    'no-store',
    ...added,
  ];
  if (problem.retryAfterS !== undefined) headers.push('retry-after', String(problem.retryAfterS));
  if (requestId !== undefined) headers.push('x-request-id', requestId);
  // The rest of an unread body is not worth reading, and the connection is of no use without.
  if (problem.close === true || (isFramed(req) && !req.complete)) {
    if (!added.includes('connection')) headers.push('connection', 'close');
    closeAfter(req);
  }
  addOwnCookies(headers, res);
  // With its own reason: of a broken answer, Node would still know the upstream's.
  res.writeHead(status, STATUS_CODES[status] ?? '', headers);
  res.end(body);
}

/** Whether a body may follow; no request is complete at the moment in which it is handed over. */
function isFramed({ headers }: IncomingMessage): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined;
}
