// The handler of every request: read it, decide, then hold, refuse or forward it, with a shadow copy
// where the decision says so. The decision is domain/decide.ts; this file carries it out. The states
// change between two requests, never within one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Owner } from '../control/domain/phase.ts';
import { writePath, type CapabilityState } from '../control/domain/state.ts';
import type { Calls } from './calls.ts';
import { isIgnored } from './closing.ts';
import type { CohortKeys } from './cohort-keys.ts';
import { CALL_FIELD } from './domain/call-token.ts';
import { decide, type Forward } from './domain/decide.ts';
import { kindOf, type Match, type Routes } from './domain/routes.ts';
import { UNFORWARDED } from './ended.ts';
import { CLIENT_GONE, type Outcome, type Tap } from './job.ts';
import type { Forwarder, Passing } from './forward.ts';
import type { Holds } from './holds.ts';
import type { Path } from './request-figures.ts';
import type { Overload } from './overload.ts';
import type { OwnWrites } from './own-writes.ts';
import { answerProblem, PROBLEMS, refusedProblem, type ProblemName } from './problem.ts';
import { surroundings } from './surroundings.ts';
import type { Shadow } from './shadow.ts';
import { EventStreams } from './streams.ts';
import type { Tracing } from './tracing.ts';
import type { Trust } from './trust.ts';
import type { Tunnels } from './tunnels.ts';
import { answerUnreadable } from './unreadable.ts';
import { readVisit, withCohort, type Visit } from './visit.ts';
import type { Witness } from './witness.ts';

/** Hands a request on that no capability claims; connect's `next`. */
export type Next = (error?: unknown) => void;

export interface EdgeOptions {
  readonly routes: Routes;
  readonly forwarder: Forwarder;
  readonly tunnels: Tunnels;
  readonly holds: Holds;
  readonly shadow: Shadow;
  readonly ownWrites: Pick<OwnWrites, 'wroteAt'>;
  readonly cohorts: Pick<CohortKeys, 'isSigned'>;
  readonly calls: Calls;
  /** Whether another replica still has writes in flight that are older than this version; ours is asked for again. */
  readonly isBusy: (capability: string, version: number, replica: string) => Promise<boolean>;
  /** For the end of what is not on its path any more. */
  readonly drainMs: number;
  /** Deadline of writes whose route has none of its own. */
  readonly timeoutMs: number;
  readonly overload: Pick<Overload, 'sheds'>;
  readonly witness: Witness;
  /** A request was refused before anything else was known of it; it took this long. */
  readonly refused: (status: number, ms: number) => void;
  /** A write has waited this long and goes on. */
  readonly held: (ms: number) => void;
  readonly tracing: Tracing | undefined;
  /** Whether coordinators still count on this replica. */
  readonly leaseValid: () => boolean;
  /** Which peers are believed what they say about their clients; none when left out. */
  readonly trusts: Trust | undefined;
  /** A peer that is not trusted said something about its client. */
  readonly onHearsay?: (address: string) => void;
}

export interface Edge {
  /** Answers a request; what is unclaimed goes to `next`, or to the monolith without one. */
  readonly handle: (req: IncomingMessage, res: ServerResponse, next?: Next) => void;
  /** Answers an upgrade; what is unclaimed goes to `next`, or to the monolith without one. */
  readonly upgrade: Tunnels['upgrade'];
  /** For a server's `clientError`: answers what is no request. */
  readonly unreadable: (error: Error, socket: Duplex) => void;
  /** Takes new states in; drops no connection and no request. */
  readonly apply: (states: ReadonlyMap<string, CapabilityState>) => void;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  /** Requests that were received and not yet answered, and upgraded connections. */
  readonly inFlight: () => number;
  /** Upgraded connections of a capability; of none: unclaimed. */
  readonly tunnels: (capability: string | undefined) => number;
  /** Ends connections with their next answer and refuses the writes that wait. */
  readonly drain: () => void;
  /** Refuses what it claims from now on: nobody waits for this replica any more. */
  readonly close: () => void;
}

export function createEdge(options: EdgeOptions): Edge {
  const { routes, forwarder, tunnels, holds, shadow, overload, tracing, calls } = options;
  let states: ReadonlyMap<string, CapabilityState> = new Map();
  let inFlight = 0;
  let draining = false;
  let closed = false;
  const around = surroundings(options);
  const streams = new EventStreams(options.drainMs);

  const finish = (
    visit: Visit,
    match: Match | undefined,
    path: Path,
    outcome: Omit<Outcome, 'upstream'>,
  ): void => {
    inFlight -= 1;
    options.witness(visit, {
      match,
      path,
      status: outcome.status,
      ms: performance.now() - visit.startedAt,
      bytes: outcome.bytes,
      version: match && states.get(match.capability)?.version,
      retries: outcome.retries,
      fellBack: outcome.fellBack,
      why: outcome.why,
    });
  };

  const refuse = (visit: Visit, match: Match | undefined, why: ProblemName): void => {
    const problem = draining ? { ...PROBLEMS[why], close: true } : PROBLEMS[why];
    answerProblem(visit.req, visit.res, problem, visit.requestId);
    finish(visit, match, 'none', { ...UNFORWARDED, status: PROBLEMS[why].status, why });
  };

  const route = (visit: Visit, next: Next | undefined, released: boolean, alone = false): void => {
    const decision = decide(routes, states, visit, around);
    const isOurs = decision.kind !== 'unclaimed' || next === undefined;
    if (tracing && isOurs && !visit.trace) {
      const match = decision.kind === 'unclaimed' ? undefined : decision.match;
      visit.trace = tracing(visit, match, match && states.get(match.capability));
    }
    if (isOurs) {
      const match = decision.kind === 'unclaimed' ? undefined : decision.match;
      const why = unserved(visit, match);
      if (why) {
        refuse(visit, match, why);
        return;
      }
    }
    switch (decision.kind) {
      case 'unclaimed':
        if (next) {
          inFlight -= 1;
          next();
        } else if (overload.sheds('normal')) refuse(visit, undefined, 'overloaded');
        else {
          passOn(visit);
          forwarder.unclaimed(visit, passing(visit, undefined, undefined, undefined));
        }
        break;
      case 'refuse':
        refuse(visit, decision.match, decision.why);
        break;
      case 'hold':
        if (alone) hold(visit, next, decision.match);
        else letThrough(visit, next, decision.match);
        break;
      case 'forward':
        // Who has waited already is not sent away.
        if (!released && overload.sheds(decision.match.priority))
          refuse(visit, decision.match, 'overloaded');
        else if (decision.match.kind === 'read') read(visit, decision);
        // Nobody overtakes those who wait already.
        else if (!released && holds.mustWait(decision.match.capability, decision.match))
          if (alone) hold(visit, next, decision.match);
          else letThrough(visit, next, decision.match);
        else write(visit, decision);
        break;
    }
  };

  /** Why nothing that is ours to answer can be. */
  const unserved = (
    { req, head, method }: Visit,
    match: Match | undefined,
  ): ProblemName | undefined => {
    if (closed) return 'closing';
    if (head.websocket) return 'upgrade';
    if (head.forCopy && (match?.kind ?? kindOf(method)) === 'write') return 'copy';
    return head.hasBody && req.readableDidRead ? 'body-taken' : undefined;
  };

  /** Holds a write, unless one that is in flight waits for it. */
  const letThrough = (visit: Visit, next: Next | undefined, match: Match): void => {
    const { capability } = match;
    const state = states.get(capability);
    const parent = calls
      .broughtBy(visit.req)
      .find(({ token }) => token.capability === capability)?.token;
    if (!state || !parent) hold(visit, next, match);
    else if (calls.isOurs(parent)) {
      if (holds.has(capability, parent.write)) nested(visit, next, match, holds.enter(capability));
      else hold(visit, next, match);
    } else {
      // In flight from here on: so ours is said again only once it is through.
      const leave = holds.enter(capability);
      void options.isBusy(capability, state.version, parent.replica).then((isBusy) => {
        if (isBusy) nested(visit, next, match, leave);
        else {
          leave();
          route(visit, next, false, true);
        }
      });
    }
  };

  /** Forwards a held write to where it would go were it not held; `leave` keeps its place meanwhile. */
  const nested = (visit: Visit, next: Next | undefined, match: Match, leave: () => void): void => {
    const state = states.get(match.capability);
    const open = state && new Map([[match.capability, { ...state, holding: false }]]);
    const decision = open && decide(routes, open, visit, around);
    if (decision?.kind === 'forward') write(visit, decision);
    // What was held when it came may be so no more: then nobody would let it go.
    else route(visit, next, false, true);
    leave();
  };

  const hold = (visit: Visit, next: Next | undefined, match: Match): void => {
    const since = performance.now();
    holds.wait(match.capability, {
      res: visit.res,
      lane: match,
      hasRoom: () => hasRoom(match),
      proceed: () => {
        visit.heldMs = performance.now() - since;
        options.held(visit.heldMs);
        route(visit, next, true);
      },
      refuse: (why) => {
        refuse(visit, match, why);
      },
      gone: () => {
        finish(visit, match, 'none', { ...UNFORWARDED, status: CLIENT_GONE });
      },
    });
  };

  const hasRoom = (match: Match): boolean => {
    const state = states.get(match.capability);
    if (state === undefined) return true;
    return (
      forwarder.hasRoom(match, writePath(state)) &&
      (!state.shared || forwarder.hasRoom(match, 'service'))
    );
  };

  const read = (visit: Visit, decision: Forward): void => {
    const { match } = decision;
    // A copy's own questions are not copied: they would go round for ever.
    const tap = decision.shadow && !visit.head.forCopy ? copy(visit, match) : undefined;
    passOn(visit);
    forwarder.read(visit, decision, passing(visit, match, tap, undefined, decision.setCohort));
  };

  /** What is called on the way belongs to the same write. */
  const passOn = ({ req, head }: Visit): void => {
    const brought = calls.broughtBy(req).map(({ text }) => text);
    if (brought.length > 0) head.headers.push(CALL_FIELD, brought.join(', '));
  };

  const copy = (visit: Visit, match: Match): Tap | undefined =>
    shadow.begin(match, () => {
      const { method, target, head, trace } = visit;
      return { method, target: target.raw, headers: head.headers, trace };
    });

  const write = (visit: Visit, decision: Forward): void => {
    const { match } = decision;
    const name = calls.next();
    const leave = holds.enter(match.capability, name);
    const token = calls.sign(match.capability, name, match.timeoutMs ?? options.timeoutMs);
    // It belongs to what it was called for as well: one of another capability may wait for it.
    const others = calls
      .broughtBy(visit.req)
      .flatMap(({ token: one, text }) => (one.capability === match.capability ? [] : [text]));
    const tokens = token === undefined ? others : [token, ...others];
    if (tokens.length > 0) visit.head.headers.push(CALL_FIELD, tokens.join(', '));
    forwarder.write(visit, decision, passing(visit, match, undefined, leave));
  };

  /** Whether a switch may wait for the end of its writes: after our lease it waits for no more than a deadline. */
  const isAwaited = ({ capability, policy }: Match): boolean =>
    holds.isHolding(capability) || (!policy.hasTables && !options.leaseValid());

  /** Where a read would go now, as the client that it was first decided for. */
  const wantedNow = (visit: Visit, cohort: string | undefined): Owner | undefined => {
    const decision = decide(routes, states, withCohort(visit, cohort), around);
    return decision.kind === 'forward' ? decision.to : undefined;
  };

  const passing = (
    visit: Visit,
    match: Match | undefined,
    tap: Tap | undefined,
    leave: (() => void) | undefined,
    cohort?: string,
  ): Passing => ({
    tap,
    closing: draining,
    // A slow upload must not keep a switch waiting for longer than the deadline.
    patient: () => leave === undefined || !match || !isAwaited(match),
    onEventStream: ({ path }, end) => {
      // Only a browser's own request is sure to come again.
      if (visit.method !== 'GET') return;
      const wanted = (): Owner | undefined => wantedNow(visit, cohort);
      visit.stream = { path, wanted, end };
      streams.add(visit.stream);
    },
    done: (outcome) => {
      if (visit.stream) streams.delete(visit.stream);
      leave?.();
      finish(visit, match, outcome.upstream.path, outcome);
    },
  });

  return {
    handle: (req, res, next) => {
      // RFC 9112 §9.6: nothing is served behind an answer that ends its connection.
      if (isIgnored(req)) return;
      const startedAt = performance.now();
      const visit = readVisit(req, res, startedAt, options);
      if (visit.kind === 'refused') {
        answerProblem(req, res, refusedProblem(visit));
        options.refused(visit.status, performance.now() - startedAt);
        return;
      }
      inFlight += 1;
      route(visit, next, false);
    },
    upgrade: tunnels.upgrade,
    unreadable: (error, socket) => {
      answerUnreadable(error, socket, (status) => {
        options.refused(status, 0);
      });
    },
    apply: (given) => {
      states = given;
      holds.apply(given);
      streams.apply();
      tunnels.apply();
    },
    states: () => states,
    inFlight: () => inFlight + tunnels.inFlight(),
    tunnels: tunnels.count,
    drain: () => {
      draining = true;
      holds.close();
      streams.drain();
      tunnels.drain();
    },
    close: () => {
      closed = true;
    },
  };
}
