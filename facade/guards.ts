// What stands between a route and an upstream: a circuit breaker, which stops asking an upstream
// that does not answer and asks again by itself, and a bulkhead, so that a route that hangs holds
// no more than its share. One guard for each upstream and route; cockatiel keeps their state.
//
// A failure is what says nothing of the request itself: no connection, no answer in time, a broken
// answer, 502, 503 and 504. A 500 is the application's word on this request. What no capability claims
// is of many routes: one that fails says nothing of the others, so there only that no connection was
// had is a failure.
import {
  bulkhead,
  circuitBreaker,
  CircuitState,
  ExponentialBackoff,
  handleAll,
  noJitterGenerator,
  SamplingBreaker,
  type BulkheadPolicy,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import type { Migration } from '../control/definition.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Match } from './domain/routes.ts';
import { RetryBudget } from './domain/retry-budget.ts';
import type { Upstream } from './upstreams.ts';

export type GuardSettings = Pick<Migration['facade'], 'breaker' | 'bulkhead' | 'retry'>;

/** One attempt that was let through; exactly one of its ends is called. */
export interface Passage {
  succeeded(): void;
  /** `sent`: the upstream may have got the request. */
  failed(error: Error, sent: boolean): void;
  /** It ended before it told anything of the upstream. */
  abandoned(): void;
}

export type BreakerState = 'closed' | 'half-open' | 'open';

export interface BreakerFigure {
  readonly path: Owner;
  readonly match: Match | undefined;
  readonly state: BreakerState;
}

/** Guards by upstream and route, made when they are first needed; as many as there are routes. */
export class Guards {
  readonly #settings: GuardSettings;
  readonly #byUpstream = new Map<
    Upstream,
    { readonly budget: RetryBudget; readonly byRoute: Map<Match | undefined, Guard> }
  >();

  constructor(settings: GuardSettings) {
    this.#settings = settings;
  }

  of(upstream: Upstream, match: Match | undefined): Guard {
    let known = this.#byUpstream.get(upstream);
    if (!known) {
      known = { budget: new RetryBudget(this.#settings.retry.budget), byRoute: new Map() };
      this.#byUpstream.set(upstream, known);
    }
    let guard = known.byRoute.get(match);
    if (!guard) {
      guard = new Guard(this.#settings, known.budget, match === undefined);
      known.byRoute.set(match, guard);
    }
    return guard;
  }

  figures(): BreakerFigure[] {
    return [...this.#byUpstream].flatMap(([{ path }, { byRoute }]) =>
      [...byRoute].map(([match, { state }]) => ({ path, match, state })),
    );
  }
}

export class Guard {
  /** Shared by all routes of the upstream. */
  readonly budget: RetryBudget;
  readonly #bulkhead: BulkheadPolicy;
  readonly #breaker: Breaker | undefined;

  /** `anyRoute`: it is of more than one route. */
  constructor(settings: GuardSettings, budget: RetryBudget, anyRoute = false) {
    this.budget = budget;
    this.#bulkhead = bulkhead(settings.bulkhead.route, 0);
    if (settings.breaker !== false) this.#breaker = new Breaker(settings.breaker, anyRoute);
  }

  /** Takes a place in the bulkhead, to be given back by the returned function; undefined when it is full. */
  join(): (() => void) | undefined {
    if (!this.hasRoom) return undefined;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    void this.#bulkhead.execute(() => promise);
    return resolve as () => void;
  }

  get hasRoom(): boolean {
    return this.#bulkhead.executionSlots > 0;
  }

  /** Lets an attempt through, as a probe where it is time for one; undefined while the circuit is open. */
  enter(): Passage | undefined {
    return this.#breaker ? this.#breaker.enter() : UNGUARDED;
  }

  get state(): BreakerState {
    return this.#breaker?.state ?? 'closed';
  }
}

/**
 * cockatiel's breaker. A call by its policy makes ten promises, so while the circuit is closed an
 * attempt goes without: its success is told to the policy's own record, its failure to the policy.
 */
class Breaker {
  readonly #settings: Exclude<GuardSettings['breaker'], false>;
  readonly #anyRoute: boolean;
  #record!: SamplingBreaker;
  #policy!: CircuitBreakerPolicy;
  #openedAt = 0;
  readonly #passage: Passage = {
    succeeded: () => {
      this.#record.success(CircuitState.Closed);
    },
    failed: (error, sent) => {
      if (sent && this.#anyRoute) {
        this.#record.success(CircuitState.Closed);
        return;
      }
      // An attempt from before the circuit opened has nothing to say of the time since.
      if (this.#policy.state !== CircuitState.Closed) return;
      this.#policy.execute(() => Promise.reject(error)).catch(ignore);
    },
    abandoned: ignore,
  };
  /** The probe, once its request has ended before it told anything: the next attempt goes on with it. */
  #vacant: Passage | undefined;
  /** The probe that is on its way, and since when somebody is. */
  #probing: Passage | undefined;
  #probingSince = 0;

  constructor(settings: Exclude<GuardSettings['breaker'], false>, anyRoute: boolean) {
    this.#settings = settings;
    this.#anyRoute = anyRoute;
    this.#begin();
  }

  #begin(): void {
    const { threshold, windowMs, minimumRequests, openMs } = this.#settings;
    this.#record = new SamplingBreaker({
      threshold,
      duration: windowMs,
      minimumRps: (minimumRequests * 1_000) / windowMs,
    });
    this.#policy = circuitBreaker(handleAll, {
      breaker: this.#record,
      halfOpenAfter: new ExponentialBackoff({
        generator: noJitterGenerator,
        initialDelay: openMs,
        maxDelay: this.#longestMs,
      }),
    });
    this.#policy.onBreak(() => {
      this.#openedAt = performance.now();
    });
  }

  /** As long it stays open at most before the next probe. */
  get #longestMs(): number {
    return Math.max(this.#settings.openMs, this.#settings.maxOpenMs);
  }

  get state(): BreakerState {
    switch (this.#policy.state) {
      case CircuitState.HalfOpen:
        return 'half-open';
      case CircuitState.Open:
      case CircuitState.Isolated:
        return 'open';
      case CircuitState.Closed:
        return 'closed';
    }
  }

  enter(): Passage | undefined {
    switch (this.#policy.state) {
      case CircuitState.Closed:
        return this.#passage;
      // Where a probe is on its way, cockatiel would let us wait for its outcome.
      case CircuitState.HalfOpen: {
        const vacant = this.#vacant;
        this.#vacant = undefined;
        return vacant ?? this.#another();
      }
      default: {
        const probe = this.#probe();
        if (probe || performance.now() - this.#openedAt <= this.#longestMs) return probe;
        // cockatiel goes by the wall clock, and somebody has set that back: it would stay open for as long.
        this.#begin();
        return this.#passage;
      }
    }
  }

  /** A long upload, say, is not to keep everybody waiting for what comes of it. */
  #another(): Passage | undefined {
    const now = performance.now();
    if (now - this.#probingSince < this.#settings.openMs) return undefined;
    this.#probingSince = now;
    return this.#probing;
  }

  #probe(): Passage | undefined {
    let passage: Passage | undefined;
    this.#policy
      .execute(() => {
        const { promise, resolve, reject } = Promise.withResolvers<undefined>();
        const probe: Passage = {
          succeeded: () => {
            resolve(undefined);
          },
          failed: (error, sent) => {
            if (sent && this.#anyRoute) resolve(undefined);
            else reject(error);
          },
          // To cockatiel any end but a failure is a success, and would close the circuit.
          abandoned: () => {
            if (this.#probing === probe) this.#vacant = probe;
          },
        };
        this.#vacant = undefined;
        this.#probing = probe;
        this.#probingSince = performance.now();
        passage = probe;
        return promise;
      })
      .catch(ignore);
    return passage;
  }
}

const UNGUARDED: Passage = { succeeded: ignore, failed: ignore, abandoned: ignore };

function ignore(): void {
  // Nothing hangs on it.
}
