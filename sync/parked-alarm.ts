// Says in the log that changes are parked: when the first is, again every minute as long as one is, and
// once when none is any more. What a look finds gone again is not worth a line.
import type { Logger } from '../core/log.ts';
import type { Direction } from '../control/domain/flow.ts';

/** An alarm that stands is repeated this often. */
const REPEAT_MS = 60_000;

export class ParkedAlarm {
  readonly #log: Logger;
  readonly #flow: { readonly capability: string; readonly direction: Direction };
  readonly #now: () => number;
  #toldAt = -Infinity;

  constructor(
    log: Logger,
    flow: { readonly capability: string; readonly direction: Direction },
    now: () => number = () => performance.now(),
  ) {
    this.#log = log;
    this.#flow = flow;
    this.#now = now;
  }

  /** `why` is what the oldest of them was refused for. */
  look(parked: number, why: string | null): void {
    const isTold = this.#toldAt !== -Infinity;
    if (parked === 0) {
      if (isTold) this.#log.info('no change is parked any more', this.#flow);
      this.#toldAt = -Infinity;
      return;
    }
    if (this.#now() - this.#toldAt < REPEAT_MS) return;
    this.#toldAt = this.#now();
    this.#log.warn('changes cannot be applied and are parked', {
      ...this.#flow,
      parked,
      ...(why !== null && { why }),
      hint: `\`banyan sync show ${this.#flow.capability}\` lists them; until they are applied or given up the target is not complete`,
    });
  }
}
