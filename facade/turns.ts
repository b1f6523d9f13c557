// Comparing costs time on the loop that carries the clients' traffic. So it is done in pieces, one a
// turn of the loop: between two of them everything that waits in a socket is served.
import type { Allowance } from './allowance.ts';

export class Turns {
  readonly #cpu: Pick<Allowance, 'spend'>;
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  constructor(cpu: Pick<Allowance, 'spend'>) {
    this.#cpu = cpu;
  }

  /** Runs a piece of work in a turn of its own, in the order of asking; its time is spent. */
  async run<T>(work: () => T): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#turn);
    });
    const began = performance.now();
    try {
      return work();
    } finally {
      this.#cpu.spend(performance.now() - began);
    }
  }

  readonly #turn = (): void => {
    this.#waiting[this.#next]?.();
    this.#next += 1;
    if (this.#next < this.#waiting.length) setImmediate(this.#turn);
    else {
      this.#waiting.length = 0;
      this.#next = 0;
    }
  };
}
