// What a record's `source` says of the transaction that its change belongs to.
import type { Lsn } from '../../../core/postgres/lsn.ts';
import { Digits, type JsonObject } from './json-text.ts';

/** A connector's snapshot has no transactions. */
export interface RecordHead {
  readonly xid: number | undefined;
  readonly lsn: Lsn | undefined;
  /** Commit of the transaction before it, where a connector says so. */
  readonly lastCommit?: Lsn | undefined;
  readonly commitMs: number;
  readonly origin: string | undefined;
  /** False where the connector is too old to say an origin: sync back would loop. */
  readonly originKnown: boolean;
  /** Read by a snapshot that goes on beside the changes, and leaves none of them out. */
  readonly isIncremental?: boolean;
}

export function headOf(source: JsonObject): RecordHead {
  const xid = source.get('txId');
  const lsn = source.get('lsn');
  const commitMs = source.get('ts_ms');
  const origin = source.get('origin');
  return {
    xid: xid instanceof Digits ? Number(xid.text) : undefined,
    lsn: lsn instanceof Digits ? BigInt(lsn.text) : undefined,
    lastCommit: lastCommitOf(source.get('sequence')),
    commitMs: commitMs instanceof Digits ? Number(commitMs.text) : 0,
    origin: typeof origin === 'string' ? origin : undefined,
    originKnown: source.has('origin'),
    ...(source.get('snapshot') === 'incremental' && { isIncremental: true }),
  };
}

/** `sequence` is `["commit LSN before","LSN"]`; null where there was none. */
function lastCommitOf(sequence: unknown): Lsn | undefined {
  const digits = typeof sequence === 'string' ? /^\["(\d+)"/.exec(sequence)?.[1] : undefined;
  return digits === undefined ? undefined : BigInt(digits);
}
