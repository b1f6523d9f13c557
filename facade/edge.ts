// The handler of every request: read it, decide, then hold, refuse or forward it, with a shadow copy
// where the decision says so. The decision is domain/decide.ts; this file carries it out. The states
// change between two requests, never within one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CapabilityState } from '../control/domain/state.ts';
import { decide, type Decision } from './domain/decide.ts';
import { cohortCookie } from './domain/policy.ts';
import type { Match, Routes } from './domain/routes.ts';
import { CLIENT_GONE, exchange, type Job } from './exchange.ts';
import type { Holds } from './holds.ts';
import type { Metrics, Path } from './metrics.ts';
import { answerProblem, PROBLEMS, refusedProblem, type Problem } from './problem.ts';
import type { Shadow } from './shadow.ts';
import { createTunnels, type Tunnels } from './tunnels.ts';
import type { TroubleLog } from './trouble.ts';
import type { Upstream, Upstreams } from './upstreams.ts';
import { readVisit, type Visit } from './visit.ts';

/** Hands a request on that no capability claims; connect's `next`. */
export type Next = (error?: unknown) => void;

export interface EdgeOptions {
  readonly routes: Routes;
  readonly upstreams: Upstreams;
  readonly timeoutMs: number;
  /** For upgraded connections that are not wanted any more. */
  readonly drainMs: number;
  readonly holds: Holds;
  readonly shadow: Shadow;
  readonly metrics: Pick<Metrics, 'finished'>;
  readonly trouble: TroubleLog;
  /** Whether coordinators still count on this replica. */
  readonly leaseValid: () => boolean;
}

export interface Edge {
  /** Answers a request; what is unclaimed goes to `next`, or to the monolith without one. */
  readonly handle: (req: IncomingMessage, res: ServerResponse, next?: Next) => void;
  /** Answers an upgrade; what is unclaimed goes to `next`, or to the monolith without one. */
  readonly upgrade: Tunnels['upgrade'];
  /** Takes new states in; drops no connection and no request. */
  readonly apply: (states: ReadonlyMap<string, CapabilityState>) => void;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  /** Requests that were received and not yet answered, and upgraded connections. */
  readonly inFlight: () => number;
  /** Upgraded connections of a capability; of none: unclaimed. */
  readonly tunnels: (capability: string | undefined) => number;
  /** Ends connections with their next answer and refuses the writes that wait. */
  readonly drain: () => void;
}

type Forward = Decision & { kind: 'forward' };

const NOTHING: readonly string[] = [];

export function createEdge(options: EdgeOptions): Edge {
  const { routes, upstreams, timeoutMs, holds, shadow, metrics } = options;
  let states: ReadonlyMap<string, CapabilityState> = new Map();
  let inFlight = 0;
  let draining = false;

  const tunnels = createTunnels({ ...options, states: () => states });

  const finish = (visit: Visit, match: Match | undefined, path: Path, status: number): void => {
    inFlight -= 1;
    metrics.finished(match, path, status, performance.now() - visit.startedAt);
  };

  const refuse = (visit: Visit, match: Match | undefined, problem: Problem): void => {
    answerProblem(visit.req, visit.res, problem, visit.requestId);
    finish(visit, match, 'none', problem.status);
  };

  const route = (visit: Visit, next: Next | undefined, released: boolean): void => {
    const decision = decide(routes, states, visit, options.leaseValid);
    switch (decision.kind) {
      case 'unclaimed':
        if (next) {
          inFlight -= 1;
          next();
        } else forward(visit, undefined, upstreams.monolith, isRepeatable(visit), {});
        break;
      case 'refuse':
        refuse(visit, decision.match, PROBLEMS[decision.why]);
        break;
      case 'hold':
        hold(visit, next, decision.match);
        break;
      case 'forward':
        if (decision.match.kind === 'read') forwardRead(visit, decision);
        // Nobody overtakes those who wait already.
        else if (!released && holds.mustWait(decision.match.capability))
          hold(visit, next, decision.match);
        else forwardWrite(visit, decision);
        break;
    }
  };

  const hold = (visit: Visit, next: Next | undefined, match: Match): void => {
    holds.wait(match.capability, {
      res: visit.res,
      proceed: () => {
        route(visit, next, true);
      },
      refuse: (why) => {
        refuse(visit, match, PROBLEMS[why]);
      },
      gone: () => {
        finish(visit, match, 'none', CLIENT_GONE);
      },
    });
  };

  const forwardRead = (visit: Visit, decision: Forward): void => {
    const { match, setCohort } = decision;
    forward(visit, match, upstreamOf(decision), isRepeatable(visit), {
      added: setCohort === undefined ? NOTHING : ['set-cookie', cohortCookie(setCohort)],
      tap: decision.shadow
        ? shadow.begin(
            match,
            { method: visit.method, target: visit.target.raw, headers: visit.head.headers },
            visit.head.hasBody,
          )
        : undefined,
    });
  };

  const forwardWrite = (visit: Visit, decision: Forward): void => {
    const { match } = decision;
    forward(visit, match, upstreamOf(decision), false, {
      leave: holds.enter(match.capability),
      // A slow upload must not keep a switch waiting for longer than the deadline.
      patient: () => !holds.isHolding(match.capability),
    });
  };

  const upstreamOf = (decision: Forward): Upstream =>
    decision.to === 'monolith'
      ? upstreams.monolith
      : upstreams.service(decision.match.policy.service);

  const forward = (
    visit: Visit,
    match: Match | undefined,
    upstream: Upstream,
    repeatable: boolean,
    extra: Partial<Pick<Job, 'added' | 'tap' | 'patient'>> & { readonly leave?: () => void },
  ): void => {
    const { added = NOTHING, leave } = extra;
    exchange({
      req: visit.req,
      res: visit.res,
      upstream,
      target: visit.target.raw,
      head: visit.head,
      repeatable,
      timeoutMs,
      patient: extra.patient ?? always,
      added: draining ? [...added, 'connection', 'close'] : added,
      tap: extra.tap,
      done: (status, error) => {
        leave?.();
        if (error) options.trouble(upstream.path, error);
        finish(visit, match, upstream.path, status);
      },
    });
  };

  return {
    handle: (req, res, next) => {
      const startedAt = performance.now();
      const visit = readVisit(req, res, startedAt);
      if (visit.kind === 'refused') {
        answerProblem(req, res, refusedProblem(visit.why));
        metrics.finished(undefined, 'none', 400, performance.now() - startedAt);
        return;
      }
      inFlight += 1;
      if (visit.head.websocket) refuse(visit, undefined, PROBLEMS.upgrade);
      else if (visit.head.hasBody && req.readableDidRead)
        refuse(visit, undefined, PROBLEMS['body-taken']);
      else route(visit, next, false);
    },
    upgrade: tunnels.upgrade,
    apply: (given) => {
      states = given;
      holds.apply(given);
      tunnels.apply();
    },
    states: () => states,
    inFlight: () => inFlight + tunnels.inFlight(),
    tunnels: tunnels.count,
    drain: () => {
      draining = true;
      holds.close();
      tunnels.drain();
    },
  };
}

function always(): boolean {
  return true;
}

/** RFC 9110 §9.2.2, and without a body, because a body can be read only once. */
function isRepeatable({ method, head }: Visit): boolean {
  return !head.hasBody && (method === 'GET' || method === 'HEAD' || method === 'OPTIONS');
}
