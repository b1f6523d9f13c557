// The handler of every request: read it, decide, then hold, refuse or forward it, with a shadow copy
// where the decision says so. The decision is domain/decide.ts; this file carries it out. The states
// change between two requests, never within one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { writePath, type CapabilityState } from '../control/domain/state.ts';
import { decide, type Forward, type Surroundings } from './domain/decide.ts';
import type { Match, Routes } from './domain/routes.ts';
import { CLIENT_GONE } from './exchange.ts';
import type { Forwarder, Passing } from './forward.ts';
import type { Holds } from './holds.ts';
import type { Metrics, Path } from './metrics.ts';
import type { Overload } from './overload.ts';
import type { OwnWrites } from './own-writes.ts';
import { answerProblem, PROBLEMS, refusedProblem, type Problem } from './problem.ts';
import type { Shadow } from './shadow.ts';
import { readVisit, type Visit } from './visit.ts';

/** Hands a request on that no capability claims; connect's `next`. */
export type Next = (error?: unknown) => void;

export interface EdgeOptions {
  readonly routes: Routes;
  readonly forwarder: Forwarder;
  readonly holds: Holds;
  readonly shadow: Shadow;
  readonly ownWrites: OwnWrites;
  readonly overload: Pick<Overload, 'sheds'>;
  readonly metrics: Pick<Metrics, 'finished'>;
  /** Whether coordinators still count on this replica. */
  readonly leaseValid: () => boolean;
}

export interface Edge {
  /** Answers a request; what is unclaimed goes to `next`, or to the monolith without one. */
  readonly handle: (req: IncomingMessage, res: ServerResponse, next?: Next) => void;
  /** Takes new states in; drops no connection and no request. */
  readonly apply: (states: ReadonlyMap<string, CapabilityState>) => void;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  /** Requests that were received and not yet answered. */
  readonly inFlight: () => number;
  /** Ends connections with their next answer and refuses the writes that wait. */
  readonly drain: () => void;
}

export function createEdge(options: EdgeOptions): Edge {
  const { routes, forwarder, holds, shadow, overload, metrics } = options;
  let states: ReadonlyMap<string, CapabilityState> = new Map();
  let inFlight = 0;
  let draining = false;
  const around: Surroundings<Visit> = {
    leaseValid: options.leaseValid,
    awaitsOwnWrites: ({ req }, capability) => options.ownWrites.awaits(req, capability, 'to'),
  };

  const finish = (visit: Visit, match: Match | undefined, path: Path, status: number): void => {
    inFlight -= 1;
    metrics.finished(match, path, status, performance.now() - visit.startedAt);
  };

  const refuse = (visit: Visit, match: Match | undefined, problem: Problem): void => {
    answerProblem(visit.req, visit.res, problem, visit.requestId);
    finish(visit, match, 'none', problem.status);
  };

  const route = (visit: Visit, next: Next | undefined, released: boolean): void => {
    const decision = decide(routes, states, visit, around);
    switch (decision.kind) {
      case 'unclaimed':
        if (next) {
          inFlight -= 1;
          next();
        } else if (overload.sheds('normal')) refuse(visit, undefined, PROBLEMS.overloaded);
        else forwarder.unclaimed(visit, passing(visit, undefined));
        break;
      case 'refuse':
        refuse(visit, decision.match, PROBLEMS[decision.why]);
        break;
      case 'hold':
        hold(visit, next, decision.match);
        break;
      case 'forward':
        // Who has waited already is not sent away.
        if (!released && overload.sheds(decision.match.priority))
          refuse(visit, decision.match, PROBLEMS.overloaded);
        else if (decision.match.kind === 'read') read(visit, decision);
        // Nobody overtakes those who wait already.
        else if (!released && holds.mustWait(decision.match.capability))
          hold(visit, next, decision.match);
        else write(visit, decision);
        break;
    }
  };

  const hold = (visit: Visit, next: Next | undefined, match: Match): void => {
    holds.wait(match.capability, {
      res: visit.res,
      hasRoom: () => hasRoom(match),
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

  const hasRoom = (match: Match): boolean => {
    const state = states.get(match.capability);
    return state === undefined || forwarder.hasRoom(match, writePath(state));
  };

  const read = (visit: Visit, decision: Forward): void => {
    const { match } = decision;
    const { method, target, head } = visit;
    forwarder.read(visit, decision, {
      ...passing(visit, match),
      tap: decision.shadow
        ? shadow.begin(match, { method, target: target.raw, headers: head.headers }, head.hasBody)
        : undefined,
    });
  };

  const write = (visit: Visit, decision: Forward): void => {
    const { match } = decision;
    const leave = holds.enter(match.capability);
    forwarder.write(visit, decision, {
      ...passing(visit, match, leave),
      // A slow upload must not keep a switch waiting for longer than the deadline.
      patient: () => !holds.isHolding(match.capability),
    });
  };

  const passing = (visit: Visit, match: Match | undefined, leave?: () => void): Passing => ({
    closing: draining,
    done: ({ status, upstream }) => {
      leave?.();
      finish(visit, match, upstream.path, status);
    },
  });

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
    apply: (given) => {
      states = given;
      holds.apply(given);
    },
    states: () => states,
    inFlight: () => inFlight,
    drain: () => {
      draining = true;
      holds.close();
    },
  };
}
