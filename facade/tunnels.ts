// Upgraded connections (WebSocket and other protocols of HTTP/1.1's Upgrade): read, decided and held
// like any request, then carried by tunnel.ts. A tunnel may carry writes, so it goes where writes go,
// unless its route says that it reads. Invariants:
//  1. a claimed tunnel that may write is a write in flight, from its handshake until no byte of it can
//     reach the upstream: a switch waits for it;
//  2. a tunnel whose capability is held, or whose request would now take another path, has begun to
//     drain: what is open is on the current path, or ends within `drainMs`;
//  3. nothing is copied to a candidate.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Owner } from '../control/domain/phase.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { CohortKeys } from './cohort-keys.ts';
import { decide, type Decision } from './domain/decide.ts';
import type { CloseCode } from './domain/frames.ts';
import { cohortCookie } from './domain/policy.ts';
import type { Match, Routes } from './domain/routes.ts';
import { UNFORWARDED } from './ended.ts';
import { CLIENT_GONE } from './job.ts';
import type { Holds } from './holds.ts';
import type { OwnWrites } from './own-writes.ts';
import { PROBLEMS, type ProblemName } from './problem.ts';
import { answerOn } from './raw-socket.ts';
import type { Overload } from './overload.ts';
import type { Path } from './request-figures.ts';
import type { TroubleLog } from './trouble.ts';
import { surroundings } from './surroundings.ts';
import { Tunnel } from './tunnel.ts';
import { arrivals, type Arrival } from './tunnel-arrival.ts';
import type { Upstream, Upstreams } from './upstreams.ts';
import type { Trust } from './trust.ts';
import type { Visit } from './visit.ts';
import type { Witness } from './witness.ts';

export interface TunnelsOptions {
  readonly routes: Routes;
  readonly states: () => ReadonlyMap<string, CapabilityState>;
  readonly upstreams: Upstreams;
  /** For the answer to a handshake. */
  readonly timeoutMs: number;
  /** The same for what no capability claims. */
  readonly unclaimedMs: number;
  /** For the end of a tunnel that is not wanted any more. */
  readonly drainMs: number;
  readonly holds: Holds;
  readonly ownWrites: Pick<OwnWrites, 'wroteAt'>;
  readonly cohorts: CohortKeys;
  readonly overload: Pick<Overload, 'sheds'>;
  readonly witness: Witness;
  /** A request was refused before anything else was known of it; it took this long. */
  readonly refused: (status: number, ms: number) => void;
  readonly trouble: TroubleLog;
  readonly leaseValid: () => boolean;
  readonly trusts: Trust | undefined;
  readonly onHearsay?: (address: string) => void;
}

export interface Tunnels {
  /** For the server's `upgrade` event. What is unclaimed goes to `next`, or to the monolith without one. */
  readonly upgrade: (req: IncomingMessage, socket: Duplex, head: Buffer, next?: () => void) => void;
  /** To be called when the states have changed. */
  readonly apply: () => void;
  /** Upgrades that were received and have not ended, held ones included. */
  readonly inFlight: () => number;
  /** Of one capability, forwarded; of none: unclaimed. */
  readonly count: (capability: string | undefined) => number;
  /** Ends what is open and refuses what comes. */
  readonly drain: () => void;
}

interface Open {
  readonly tunnel: Tunnel;
  readonly match: Match | undefined;
  readonly to: Owner;
  readonly facts: Visit;
}

/** Tunnels to the service of a capability without tables are of no use to anybody once the lease has lapsed. */
const LEASE_CHECK_MS = 1_000;

export function createTunnels(options: TunnelsOptions): Tunnels {
  const { upstreams, holds, cohorts, overload } = options;
  const routes: Routes = {
    policies: options.routes.policies,
    match: (method, segments) => options.routes.match(method, segments)?.tunnel,
  };
  const open = new Set<Open>();
  let inFlight = 0;
  let draining = false;
  let leaseTimer: NodeJS.Timeout | undefined;

  const around = surroundings(options);
  const receive = arrivals({ ...options, routes });
  const judge = (facts: Visit): Decision => decide(routes, options.states(), facts, around);

  const count = (
    visit: Visit,
    match: Match | undefined,
    path: Path,
    status: number,
    why?: ProblemName,
  ): void => {
    const ms = performance.now() - visit.startedAt;
    options.witness(visit, { ...UNFORWARDED, match, path, status, ms, why });
  };

  const refuse = (arrival: Arrival, match: Match | undefined, why: ProblemName): void => {
    const { visit, socket } = arrival;
    visit.res.detachSocket(socket);
    answerOn(visit.req, socket, PROBLEMS[why], visit.requestId);
    inFlight -= 1;
    count(visit, match, 'none', PROBLEMS[why].status, why);
  };

  const route = (arrival: Arrival, released: boolean): void => {
    const facts = withOneCohort(arrival.visit);
    const decision = judge(facts);
    switch (decision.kind) {
      case 'unclaimed':
        if (overload.sheds('normal')) refuse(arrival, undefined, 'overloaded');
        else forward(arrival, undefined, upstreams.monolith, facts, undefined);
        break;
      case 'refuse':
        refuse(arrival, decision.match, decision.why);
        break;
      case 'hold':
        hold(arrival, decision.match);
        break;
      case 'forward': {
        const { match, to, setCohort } = decision;
        // Who has waited already is not sent away.
        if (!released && overload.sheds(match.priority)) refuse(arrival, match, 'overloaded');
        else if (match.kind === 'write' && !released && holds.mustWait(match.capability, match))
          hold(arrival, match);
        else {
          const upstream =
            to === 'monolith' ? upstreams.monolith : upstreams.service(match.policy.service);
          forward(arrival, match, upstream, facts, setCohort);
        }
        break;
      }
    }
  };

  const hold = (arrival: Arrival, match: Match): void => {
    const { visit, socket } = arrival;
    // Nobody else listens for the client's end while the request waits.
    const leave = (): void => {
      socket.destroy();
    };
    socket.on('end', leave);
    holds.wait(match.capability, {
      res: visit.res,
      lane: match,
      // A tunnel takes no place in a bulkhead.
      hasRoom: () => true,
      proceed: () => {
        socket.off('end', leave);
        route(arrival, true);
      },
      refuse: (why) => {
        socket.off('end', leave);
        refuse(arrival, match, why);
      },
      gone: () => {
        inFlight -= 1;
        count(visit, match, 'none', CLIENT_GONE);
      },
    });
  };

  const forward = (
    arrival: Arrival,
    match: Match | undefined,
    upstream: Upstream,
    facts: Visit,
    setCohort: string | undefined,
  ): void => {
    const { visit, socket, head, protocol } = arrival;
    visit.res.detachSocket(socket);
    const leave = match?.kind === 'write' ? holds.enter(match.capability) : undefined;
    const tunnel = new Tunnel({
      req: visit.req,
      socket,
      head,
      upstream,
      target: visit.target.raw,
      headers: visit.head.headers,
      protocol,
      requestId: visit.requestId,
      timeoutMs: match ? (match.timeoutMs ?? options.timeoutMs) : options.unclaimedMs,
      drainMs: options.drainMs,
      added: setCohort === undefined ? [] : ['set-cookie', cohortCookie(cohorts.sign(setCohort))],
      answered: (status, failure) => {
        if (failure) options.trouble(upstream.path, failure.error);
        count(visit, match, upstream.path, status, failure?.why);
      },
      ended: () => {
        open.delete(self);
        inFlight -= 1;
        leave?.();
        if (open.size === 0) {
          clearInterval(leaseTimer);
          leaseTimer = undefined;
        }
      },
    });
    const self: Open = { tunnel, match, to: upstream.path, facts };
    open.add(self);
    leaseTimer ??= setInterval(checkLease, LEASE_CHECK_MS).unref();
    tunnel.start();
  };

  const checkLease = (): void => {
    if (!options.leaseValid())
      drainWhere(({ match }) => match?.kind === 'write' && !match.policy.hasTables, 1012);
  };

  const drainWhere = (unwanted: (one: Open) => boolean, code: CloseCode): void => {
    for (const one of open) if (unwanted(one)) one.tunnel.drain(code);
  };

  const isOffPath = ({ match, to, facts }: Open): boolean => {
    if (!match) return false;
    const now = judge(facts);
    return now.kind !== 'forward' || now.to !== to;
  };

  return {
    upgrade: (req, given, head, next) => {
      const arrival = receive({ req, given, head, next });
      if (!arrival) return;
      inFlight += 1;
      if (draining) refuse(arrival, undefined, 'closing');
      // Whatever it is to carry, nobody would know when that writes.
      else if (arrival.visit.head.forCopy) refuse(arrival, undefined, 'copy');
      else route(arrival, false);
    },
    apply: () => {
      drainWhere(isOffPath, 1012);
    },
    inFlight: () => inFlight,
    count: (capability) => {
      let found = 0;
      for (const { match } of open) if (match?.capability === capability) found += 1;
      return found;
    },
    drain: () => {
      draining = true;
      drainWhere(() => true, 1001);
    },
  };
}

/** The facts of a request, with the same fresh cohort key however often it is decided. */
function withOneCohort(visit: Visit): Visit {
  let cohort: string | undefined;
  return Object.create(visit, {
    freshCohort: { value: () => (cohort ??= visit.freshCohort()) },
  }) as Visit;
}
