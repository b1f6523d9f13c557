// What stands between a route and an upstream: a circuit breaker, which stops asking an upstream
// that does not answer and asks again by itself, and a bulkhead, so that a route that hangs holds
// no more than its share. One guard for each upstream and route; cockatiel keeps their state.
//
// A failure is what says nothing of the request itself: no connection, no answer in time, a broken
// answer, 502, 503 and 504. A 500 is the application's word on this request.
import {
  bulkhead,
  circuitBreaker,
  CircuitState,
  ExponentialBackoff,
  handleWhen,
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
  failed(error: Error): void;
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
      guard = new Guard(this.#settings, known.budget);
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
  readonly #breaker: CircuitBreakerPolicy | undefined;

  constructor(settings: GuardSettings, budget: RetryBudget) {
    this.budget = budget;
    this.#bulkhead = bulkhead(settings.bulkhead.route, 0);
    if (settings.breaker !== false) this.#breaker = breakerOf(settings.breaker);
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
    const breaker = this.#breaker;
    if (!breaker) return UNGUARDED;
    // A probe is on its way: cockatiel would let us wait for its outcome.
    if (breaker.state === CircuitState.HalfOpen) return undefined;
    let passage: PassageOfBreaker | undefined;
    breaker
      .execute(() => {
        passage = new PassageOfBreaker();
        return passage.outcome;
      })
      .catch(ignore);
    return passage;
  }

  get state(): BreakerState {
    switch (this.#breaker?.state) {
      case CircuitState.HalfOpen:
        return 'half-open';
      case CircuitState.Open:
      case CircuitState.Isolated:
        return 'open';
      case CircuitState.Closed:
      case undefined:
        return 'closed';
    }
  }
}

class PassageOfBreaker implements Passage {
  readonly outcome: Promise<undefined>;
  readonly #settle: PromiseWithResolvers<undefined>;

  constructor() {
    this.#settle = Promise.withResolvers<undefined>();
    this.outcome = this.#settle.promise;
  }

  succeeded(): void {
    this.#settle.resolve(undefined);
  }

  failed(error: Error): void {
    this.#settle.reject(error);
  }

  abandoned(): void {
    this.#settle.reject(ABANDONED);
  }
}

/** A rejection that the breaker does not count. */
const ABANDONED = new Error('abandoned');

const UNGUARDED: Passage = { succeeded: ignore, failed: ignore, abandoned: ignore };

function ignore(): void {
  // Nothing hangs on it.
}

function breakerOf(settings: Exclude<GuardSettings['breaker'], false>): CircuitBreakerPolicy {
  const { threshold, windowMs, minimumRequests, openMs, maxOpenMs } = settings;
  return circuitBreaker(
    handleWhen((error) => error !== ABANDONED),
    {
      breaker: new SamplingBreaker({
        threshold,
        duration: windowMs,
        minimumRps: (minimumRequests * 1_000) / windowMs,
      }),
      halfOpenAfter: new ExponentialBackoff({
        generator: noJitterGenerator,
        initialDelay: openMs,
        maxDelay: Math.max(openMs, maxOpenMs),
      }),
    },
  );
}
