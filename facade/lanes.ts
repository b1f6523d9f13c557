// Lets so many pieces of work run at a time, and begins one only when it may; the others wait in the order
// of asking.

/** How often it is looked whether the next one may. */
const LOOK_MS = 2;

export class Lanes {
  readonly #mayBegin: () => boolean;
  readonly #waiting: (() => void)[] = [];
  #free: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(count: number, mayBegin: () => boolean = () => true) {
    this.#free = count;
    this.#mayBegin = mayBegin;
  }

  /** Whether the next one waits for leave to begin, and not just for its turn. */
  get isHeldBack(): boolean {
    return this.#timer !== undefined;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#serve();
    });
    try {
      return await work();
    } finally {
      this.#free += 1;
      this.#serve();
    }
  }

  #serve(): void {
    if (this.#timer) return;
    for (; this.#free > 0 && this.#waiting.length > 0; this.#free -= 1) {
      if (!this.#mayBegin()) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#serve();
        }, LOOK_MS);
        return;
      }
      this.#waiting.shift()?.();
    }
  }
}
