// Which LSN may be acknowledged to the source: everything before it has had its effect durably, or
// never had one. The server may forget what lies before, so this is the one place that decides.
import type { Lsn } from '../../core/postgres/lsn.ts';

export class Acker {
  #handed: Lsn = 0n;
  #safe: Lsn;

  /** `from` is what was durable before this connection. */
  constructor(from: Lsn) {
    this.#safe = from;
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
    if (!transactionOpen && this.#handed <= this.#safe && walEnd > this.#safe) this.#safe = walEnd;
  }

  get safe(): Lsn {
    return this.#safe;
  }
}
