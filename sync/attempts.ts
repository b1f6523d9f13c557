// The pauses between the attempts at something that is kept running: longer after each failure, without an
// end where waiting mends nothing. Whoever decides something ends them: also the next one, where there is
// none at the moment, because an attempt under way may not have seen what was decided.
import { isBanyanError } from '../core/errors.ts';
import { aborted, sleep } from '../core/lifecycle.ts';

const BACKOFF_MS = [250, 500, 1_000, 2_000, 5_000];

export class Attempts {
  readonly #signal: AbortSignal;
  readonly #rest: typeof sleep;
  #wake = new AbortController();
  #failures = 0;

  /** `signal` ends every pause, too. */
  constructor(signal: AbortSignal, rest = sleep) {
    this.#signal = signal;
    this.#rest = rest;
  }

  /** Somebody has just decided something. */
  nudge(): void {
    this.#wake.abort();
  }

  /** The last one went well, whatever ended it: pauses are short again. */
  forgive(): void {
    this.#failures = 0;
  }

  afterFailure(error: unknown): Promise<void> {
    // A stream with a hole is nothing that waiting could mend.
    if (isBanyanError(error, 'SLOT_LOST') || isBanyanError(error, 'KAFKA_LOG_LOST'))
      return this.#pause(aborted);
    const ms = BACKOFF_MS[Math.min(this.#failures++, BACKOFF_MS.length - 1)] ?? 0;
    return this.pause(ms);
  }

  pause(ms: number): Promise<void> {
    return this.#pause((woken) => this.#rest(ms, woken));
  }

  async #pause(wait: (woken: AbortSignal) => Promise<void>): Promise<void> {
    await wait(AbortSignal.any([this.#signal, this.#wake.signal]));
    // Not before: a nudge may have come while nobody waited.
    this.#wake = new AbortController();
  }
}
