// Which LSN may be acknowledged to the source: everything before it has had its effect durably, or
// never had one. The server may forget what lies before, so this is the one place that decides.
import type { Lsn } from '../../core/postgres/lsn.ts';

export class Acker {
  #handed: Lsn = 0n;
  #safe: Lsn;
  #idle: Lsn = 0n;
  readonly #holdsIdle: boolean;

  /**
   * `from` is what was durable before this connection. With `holdsIdle`, WAL that has nothing for us is
   * not acknowledged by itself: whoever reads notes it first (see `idleLsn`).
   */
  constructor(from: Lsn, holdsIdle = false) {
    this.#safe = from;
    this.#holdsIdle = holdsIdle;
  }

  /** A transaction ending here was handed to the consumer. */
  handed(endLsn: Lsn): void {
    if (endLsn > this.#handed) this.#handed = endLsn;
  }

  /** All transactions ending at or before this LSN are durable at the target. */
  durable(endLsn: Lsn): void {
    if (endLsn > this.#safe) this.#safe = endLsn;
  }

  /**
   * The server has sent everything up to `walEnd`. When nothing is under way, there was nothing for
   * us before it: an idle flow holds no WAL back.
   */
  idle(walEnd: Lsn, transactionOpen: boolean): void {
    if (transactionOpen || this.#handed > this.#safe || walEnd <= this.#safe) return;
    if (this.#holdsIdle) this.#idle = walEnd;
    else this.#safe = walEnd;
  }

  /** Up to here there was nothing that is not durable. */
  get idleLsn(): Lsn {
    return this.#idle > this.#safe ? this.#idle : this.#safe;
  }

  get safe(): Lsn {
    return this.#safe;
  }
}
