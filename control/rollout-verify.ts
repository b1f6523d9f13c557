// The verification that a rollout waits for: beside the looks, so that red leads back while it runs; one
// at a time, with a pause between two, and stopped when the step is over or the driver is.
import { messageOf } from '../core/errors.ts';

/** Compares both sides and records the outcome. */
export type Verify = (capability: string, signal: AbortSignal) => Promise<unknown>;

/** Between two runs that were both not what the gate asks for. */
const PAUSE_MS = 30_000;

export class VerifyBeside {
  readonly #verify: Verify;
  #over = new AbortController();
  #running: Promise<void> | undefined;
  #notBefore = 0;
  #failed: string | undefined;

  constructor(verify: Verify) {
    this.#verify = verify;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** What the last run failed with, told once. */
  takeFailure(): string | undefined {
    const failed = this.#failed;
    this.#failed = undefined;
    return failed;
  }

  /** Begins a run, unless one is under way or has just been; says whether it did. */
  begin(capability: string): boolean {
    if (this.isRunning || performance.now() < this.#notBefore) return false;
    const over = new AbortController();
    this.#over = over;
    this.#running = this.#verify(capability, over.signal)
      .then(
        () => undefined,
        (error: unknown) => {
          if (!over.signal.aborted) this.#failed = messageOf(error);
        },
      )
      .finally(() => {
        this.#running = undefined;
        this.#notBefore = over.signal.aborted ? 0 : performance.now() + PAUSE_MS;
      });
    return true;
  }

  /** Nobody waits for its outcome any more. */
  cancel(): void {
    this.#over.abort();
  }

  /** Resolves once it has ended. */
  async end(): Promise<void> {
    this.cancel();
    await this.#running;
  }
}
