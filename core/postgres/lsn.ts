// Log sequence numbers and positions in a change log. Inside they are bigints; in text they are
// PostgreSQL's own `16/B374D848`. An LSN alone never identifies a change (the rows of one COPY
// share one): a position is (timeline, commit LSN, seq).

export type Lsn = bigint;

/** Parses PostgreSQL's `X/Y` form; throws a RangeError on anything else. */
export function parseLsn(text: string): Lsn {
  const slash = text.indexOf('/');
  const high = hexadecimal(text, 0, slash);
  const low = hexadecimal(text, slash + 1, text.length);
  if (high === undefined || low === undefined)
    throw new RangeError(`not an LSN: ${JSON.stringify(text)}`);
  // Most are numbers that a double holds.
  if (high < HELD) return BigInt(high * WORD + low);
  return (BigInt(high) << 32n) | BigInt(low);
}

const WORD = 0x1_0000_0000;
const HELD = 0x20_0000;

/** The number that up to eight digits of a text are. */
function hexadecimal(text: string, from: number, to: number): number | undefined {
  if (to <= from || to - from > 8) return undefined;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = digitOf(text.charCodeAt(at));
    if (digit < 0) return undefined;
    value = value * 16 + digit;
  }
  return value;
}

function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
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
