// Log sequence numbers and positions in a change log. Inside they are bigints; in text they are
// PostgreSQL's own `16/B374D848`. An LSN alone never identifies a change (the rows of one COPY
// share one): a position is (timeline, commit LSN, seq).

export type Lsn = bigint;

/** Parses PostgreSQL's `X/Y` form; throws a RangeError on anything else. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text);
  if (!match) throw new RangeError(`not an LSN: ${JSON.stringify(text)}`);
  return (BigInt(`0x${match[1] ?? ''}`) << 32n) | BigInt(`0x${match[2] ?? ''}`);
}

export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16).toUpperCase();
  const low = (lsn & 0xffffffffn).toString(16).toUpperCase();
  return `${high}/${low}`;
}

/**
 * A place in the change log of one source. `commitLsn` is the LSN of the transaction's commit
 * record, `seq` the number of its messages already consumed: everything up to there has had its
 * effect. A whole transaction is consumed when seq is `END_OF_TRANSACTION`.
 */
export interface Position {
  readonly timeline: number;
  readonly commitLsn: Lsn;
  readonly seq: number;
}

export const END_OF_TRANSACTION = 2_147_483_647;

/** Negative when a is before b, 0 when equal, positive when after. Timelines are not compared. */
export function comparePositions(a: Position, b: Position): number {
  if (a.commitLsn !== b.commitLsn) return a.commitLsn < b.commitLsn ? -1 : 1;
  return a.seq - b.seq;
}
