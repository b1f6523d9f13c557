// The seam between capture and apply. Its first home is `direct`: the replication slot itself is
// the durable log (slot-log.ts); its second is a topic that a relay fills (kafka/consume.ts). Whatever stands behind it delivers pieces in commit order, at
// least once, and forgets nothing that was not acknowledged.
import type { Lsn } from '../core/postgres/lsn.ts';
import type { Piece } from './domain/change.ts';
import type { Offsets } from './kafka/consume-offsets.ts';

export interface ChangeLog {
  readonly timeline: number;
  /** Where a new flow begins, to be stored before anything else is done; where left out, nothing is. */
  readonly begins?: Offsets;
  /**
   * Waits for the next pieces. When the signal aborts it resolves to an empty list, or to a last piece that
   * only says how far the log has been read; rejects when the log fails.
   */
  read(signal: AbortSignal): Promise<readonly Piece[]>;
  /** Everything that ends at or before this LSN is durable at the target. */
  acknowledge(endLsn: Lsn): void;
  close(): Promise<void>;
}
