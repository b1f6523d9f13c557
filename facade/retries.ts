// When a failed attempt is followed by another at the same upstream, and after which pause: where that can
// do no harm (the request was never sent, or may be repeated) and the budget of the path allows for it.
import { ExponentialBackoff, fullJitterGenerator, type IBackoff } from 'cockatiel';
import type { RetryBudget } from './domain/retry-budget.ts';
import type { Job } from './job.ts';

const BACKOFF = new ExponentialBackoff({
  generator: fullJitterGenerator,
  initialDelay: 25,
  maxDelay: 250,
});

/** What has become of the request so far. */
export interface Sending {
  /** Some of it has left. */
  readonly sent: boolean;
  /** Its body can be sent from the beginning. */
  readonly whole: boolean;
}

/** Those of one exchange. */
export class Retries {
  #count = 0;
  #backoff: IBackoff<unknown> | undefined;

  get count(): number {
    return this.#count;
  }

  /** Milliseconds until another attempt, which counts from now on; undefined where there may be none. */
  next(
    { retry, repeatable }: Pick<Job, 'retry' | 'repeatable'>,
    { sent, whole }: Sending,
    budget: Pick<RetryBudget, 'withdraw'>,
  ): number | undefined {
    if (this.#count >= retry.attempts || (sent && !repeatable) || !whole) return undefined;
    if (!budget.withdraw(performance.now())) return undefined;
    this.#count += 1;
    this.#backoff = (this.#backoff ?? BACKOFF).next(undefined);
    return this.#backoff.duration;
  }
}
