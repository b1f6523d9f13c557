// Requests of clients as cheap as they can be: raw bytes over connections that are used again, so that
// what a benchmark measures on the same machine has the machine to itself.
import { Connection } from '../../../bench/connection.ts';

/** A server ends what has been idle for longer; what is sent at that moment would be lost. */
const IDLE_MS = 2_000;

export class Wires {
  readonly #idle = new Map<string, Wire[]>();

  /** The answer's status, or 0 where the connection broke first. */
  ask(base: string, request: string): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const idle = this.#idleOf(base);
    let wire = idle.pop();
    while (wire && (wire.lost || performance.now() - wire.since > IDLE_MS)) {
      wire.close();
      wire = idle.pop();
    }
    wire ??= new Wire(new URL(base), idle);
    wire.ask(Buffer.from(request, 'latin1'), resolve);
    return promise;
  }

  close(): void {
    for (const wires of this.#idle.values()) for (const wire of wires.splice(0)) wire.close();
  }

  #idleOf(base: string): Wire[] {
    let idle = this.#idle.get(base);
    if (!idle) this.#idle.set(base, (idle = []));
    return idle;
  }
}

class Wire {
  readonly #connection: Connection;
  #done: ((status: number) => void) | undefined;
  lost = false;
  since = 0;

  constructor(base: URL, idle: Wire[]) {
    const end = (status: number): void => {
      const done = this.#done;
      this.#done = undefined;
      this.lost = status === 0;
      this.since = performance.now();
      if (done && !this.lost) idle.push(this);
      done?.(status);
    };
    this.#connection = new Connection(base, {
      answered: (status) => {
        end(Number(status));
      },
      lost: () => {
        end(0);
      },
    });
  }

  ask(request: Buffer, done: (status: number) => void): void {
    this.#done = done;
    this.#connection.send(request);
  }

  close(): void {
    this.#connection.close();
  }
}
