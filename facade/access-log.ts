// One line for a finished request: a sample of all, the same on every replica because it is drawn
// from the request id, and the answers of 500 and above, ten a second at most: an upstream that is
// down must not drown the log. No query, no cookie, no authorization:
// they hold secrets.
import type { Logger } from '../core/log.ts';
import { inShare } from './domain/cohort.ts';
import { parseTraceParent } from './domain/trace.ts';
import type { Ended } from './ended.ts';
import type { Visit } from './visit.ts';

export type AccessLog = (visit: Visit, ended: Ended) => void;

const FAILURES_PER_SECOND = 10;

/** `sample`: share of the requests, 0 to 1. */
export function createAccessLog(log: Pick<Logger, 'info'>, sample: number): AccessLog {
  let second = 0;
  let failures = 0;
  /** Counts a failure; true while there is room for it in this second. */
  const isShown = (): boolean => {
    const now = Math.floor(performance.now() / 1_000);
    if (now !== second) failures = 0;
    second = now;
    failures += 1;
    return failures <= FAILURES_PER_SECOND;
  };
  return (visit, ended) => {
    const sampled = sample > 0 && inShare('access', visit.requestId, sample);
    if (!sampled && !(ended.status >= 500 && isShown())) return;
    const { req, trace } = visit;
    // In one piece: winston copies what is given beside a message, field by field.
    log.info({
      message: 'request',
      method: visit.method,
      path: visit.path,
      status: ended.status,
      ms: Math.round(ended.ms * 10) / 10,
      bytes: ended.bytes,
      capability: ended.match?.capability,
      route: ended.match?.label,
      to: ended.path,
      version: ended.version,
      heldMs: visit.heldMs === 0 ? undefined : Math.round(visit.heldMs),
      retries: ended.retries === 0 ? undefined : ended.retries,
      fellBack: ended.fellBack || undefined,
      why: ended.why,
      requestId: visit.requestId,
      traceId: trace?.id ?? parseTraceParent(visit.traceparent)?.traceId,
      client: visit.client,
      userAgent: req.headers['user-agent'],
    });
  };
}
