// What this replica held back during each hold, for the certificate of the switch: kept until the control
// database has it.
import type { HeldWrites } from '../control/held-writes.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';

export interface HeldTallyOptions {
  readonly store: (held: readonly HeldWrites[]) => Promise<void>;
  readonly log: Pick<Logger, 'warn'>;
}

/** Holds that are kept while the control database is away: the oldest go first. */
const MOST_KEPT = 200;

export class HeldTally {
  readonly #options: HeldTallyOptions;
  #unsent: HeldWrites[] = [];

  constructor(options: HeldTallyOptions) {
    this.#options = options;
  }

  add(held: HeldWrites): void {
    this.#unsent = [...this.#unsent, held].slice(-MOST_KEPT);
  }

  /** Sends what has gathered; never throws. */
  async flush(): Promise<void> {
    const sent = this.#unsent;
    if (sent.length === 0) return;
    this.#unsent = [];
    try {
      await this.#options.store(sent);
    } catch (error) {
      this.#options.log.warn('figures of held writes could not be stored; they are kept', {
        error: messageOf(error),
      });
      this.#unsent = [...sent, ...this.#unsent].slice(-MOST_KEPT);
    }
  }
}
