// The keys that all replicas share. Nothing is served without them, because what another replica has signed
// could not be read; from then on those of calls are read anew, as they change.
import type { KeyObject } from 'node:crypto';
import { sleep } from '../core/lifecycle.ts';
import type { Calls } from './calls.ts';

export interface KeysOptions {
  readonly calls: Pick<Calls, 'refresh'>;
  readonly readSigningKey: () => Promise<KeyObject>;
}

const AGAIN_MS = 250;
const CALL_KEYS_MS = 30_000;

export class Keys {
  readonly #options: KeysOptions;
  #signing: KeyObject | undefined;

  constructor(options: KeysOptions) {
    this.#options = options;
  }

  /** Of notes and cohorts; undefined until it is known. */
  get signing(): KeyObject | undefined {
    return this.#signing;
  }

  /** Tries until all of them are known, or `signal` aborts. */
  async read(signal: AbortSignal): Promise<void> {
    const { calls, readSigningKey } = this.#options;
    while (this.#signing === undefined && !signal.aborted) {
      this.#signing = await calls
        .refresh()
        .then(readSigningKey)
        .catch(() => undefined);
      if (this.#signing === undefined) await sleep(AGAIN_MS, signal);
    }
  }

  /** Keeps those of calls until `signal` aborts; without the control database those that are known stay. */
  async keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(CALL_KEYS_MS, signal);
      await this.#options.calls.refresh().catch(() => undefined);
    }
  }
}
