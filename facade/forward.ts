// Where a decided request really goes: the upstream, what guards it on this route, how often it may
// be sent, which path stands in when that one fails, and what is added to the answer. The exchange
// carries it out.
import type { Migration } from '../control/definition.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { CohortKeys } from './cohort-keys.ts';
import type { Forward } from './domain/decide.ts';
import { fallbackOf, hasTwoSides } from './domain/fallback.ts';
import { cohortCookie } from './domain/policy.ts';
import type { Match } from './domain/routes.ts';
import { exchange } from './exchange.ts';
import type { Job, Outcome, Tap, Way } from './job.ts';
import type { Freshness } from './freshness.ts';
import type { Guards } from './guards.ts';
import type { OwnWrites } from './own-writes.ts';
import type { TroubleLog } from './trouble.ts';
import type { Upstream, Upstreams } from './upstreams.ts';
import type { Visit } from './visit.ts';

export interface ForwardOptions {
  readonly upstreams: Upstreams;
  readonly guards: Guards;
  readonly settings: Pick<
    Migration['facade'],
    'timeoutMs' | 'unclaimed' | 'idleTimeoutMs' | 'retry' | 'fallback'
  >;
  readonly ownWrites: OwnWrites;
  readonly cohorts: Pick<CohortKeys, 'sign'>;
  readonly freshness: Pick<Freshness, 'now' | 'watermark'>;
  readonly trouble: TroubleLog;
  readonly stateOf: (capability: string) => CapabilityState | undefined;
}

/** What differs from request to request besides the decision. */
export interface Passing {
  readonly tap: Tap | undefined;
  /** Whether a slow upload may still prolong the deadline. */
  readonly patient: () => boolean;
  /** The answer is an event stream, and this ends it. */
  readonly onEventStream: Job['onEventStream'];
  /** Ends the client's connection with this answer. */
  readonly closing: boolean;
  readonly done: (outcome: Outcome) => void;
}

export interface Forwarder {
  unclaimed(visit: Visit, passing: Passing): void;
  read(visit: Visit, decision: Forward, passing: Passing): void;
  write(visit: Visit, decision: Forward, passing: Passing): void;
  /** Whether the path of a capability's writes takes one more now. */
  hasRoom(match: Match, to: Owner): boolean;
}

const NOTHING: readonly string[] = [];
const CLOSE: readonly string[] = ['connection', 'close'];

export function createForwarder(options: ForwardOptions): Forwarder {
  const { upstreams, guards, settings, ownWrites, freshness } = options;

  const wayTo = (to: Owner, match: Match): Way => {
    const upstream =
      to === 'monolith' ? upstreams.monolith : upstreams.service(match.policy.service);
    return { upstream, guard: guards.of(upstream, match) };
  };

  /** The other path, while it is fresh enough for this client. */
  const fallbackFor = ({ req, certain }: Visit, { match, to }: Forward): Way | undefined => {
    const state = options.stateOf(match.capability);
    const found = state && fallbackOf(state, to);
    // What can be read in two ways never reaches the service.
    if (!found || (!certain && found.to === 'service')) return undefined;
    if (found.fedBy !== undefined) {
      const now = freshness.now();
      const watermark = freshness.watermark(match.capability, found.fedBy);
      if (now === undefined || watermark === undefined) return undefined;
      if (now - watermark > settings.fallback.maxLagMs) return undefined;
      if (ownWrites.awaits(req, match.capability, found.fedBy)) return undefined;
    }
    return wayTo(found.to, match);
  };

  const onTrouble = (upstream: Upstream, error: Error): void => {
    options.trouble(upstream.path, error);
  };

  /** One literal, so that every job has the same shape. */
  const send = (
    { req, res, target, head, trace }: Visit,
    way: Way,
    { tap, patient, onEventStream, done }: Passing,
    how: Pick<Job, 'repeatable' | 'timeoutMs' | 'fallback' | 'added'>,
  ): void => {
    exchange({
      req,
      res,
      way,
      fallback: how.fallback,
      target: target.raw,
      head,
      repeatable: how.repeatable,
      timeoutMs: how.timeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      retry: settings.retry,
      patient,
      added: how.added,
      tap,
      onEventStream,
      trace,
      onTrouble,
      done,
    });
  };

  return {
    unclaimed: (visit, passing) => {
      const { monolith } = upstreams;
      send(visit, { upstream: monolith, guard: guards.of(monolith, undefined) }, passing, {
        repeatable: isIdempotent(visit.method) || hasKey(visit),
        timeoutMs: settings.unclaimed.timeoutMs,
        fallback: undefined,
        added: () => closeIf(passing.closing),
      });
    },
    read: (visit, decision, passing) => {
      const { match, setCohort } = decision;
      send(visit, wayTo(decision.to, match), passing, {
        // A read changes nothing, whatever its method.
        repeatable: true,
        timeoutMs: match.timeoutMs ?? settings.timeoutMs,
        fallback: match.policy.fallback ? () => fallbackFor(visit, decision) : undefined,
        added: () =>
          setCohort === undefined
            ? closeIf(passing.closing)
            : [
                'set-cookie',
                cohortCookie(options.cohorts.sign(setCohort)),
                ...closeIf(passing.closing),
              ],
      });
    },
    write: (visit, decision, passing) => {
      const { match } = decision;
      send(visit, wayTo(decision.to, match), passing, {
        repeatable: (!match.explicitKind && isIdempotent(visit.method)) || hasKey(visit),
        timeoutMs: match.timeoutMs ?? settings.timeoutMs,
        fallback: undefined,
        added: () => {
          const close = closeIf(passing.closing);
          return isNoted(decision, options.stateOf(match.capability))
            ? [...ownWrites.note(visit.req, match.capability, decision.to), ...close]
            : close;
        },
      });
    },
    hasRoom: (match, to) => wayTo(to, match).guard.hasRoom,
  };
}

/** RFC 9110 §9.2.2. */
function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** The application tells repetitions of this request apart by itself (the Idempotency-Key field). */
function hasKey(visit: Visit): boolean {
  return (visit.forwarded('idempotency-key') ?? '') !== '';
}

/** While both sides may be read, a client's own writes are to be seen on either. */
function isNoted({ match }: Forward, state: CapabilityState | undefined): boolean {
  return match.policy.hasTables && state !== undefined && hasTwoSides(state.phase);
}

function closeIf(closing: boolean): readonly string[] {
  return closing ? CLOSE : NOTHING;
}
