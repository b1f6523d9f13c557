// Where a record stands in its source's log, as the headers of our records say it.
import { formatLsn, parseLsn, type Position } from '../../../core/postgres/lsn.ts';

export const HEADERS = {
  /** `timeline/commit LSN/seq`. */
  position: 'banyan.position',
  /** Which of the records of one change: a change of key is several. */
  part: 'banyan.part',
  /** On a message of our own in layout `table`. */
  message: 'banyan.message',
  /** On the END of a transaction: where the next one begins. */
  end: 'banyan.end',
  /** On a TRUNCATE of several tables: all of them. */
  tables: 'banyan.tables',
} as const;

/** What the positions of a transaction have in common. */
export function positionStart(timeline: number, commitLsn: bigint): string {
  return `${timeline}/${formatLsn(commitLsn)}/`;
}

const POSITION = /^(\d+)\/([0-9A-F]+\/[0-9A-F]+)\/(\d+)$/i;

/** Undefined when the header is missing or none of ours. */
export function parsePosition(header: string | undefined): Position | undefined {
  const match = header === undefined ? null : POSITION.exec(header);
  if (!match) return undefined;
  return {
    timeline: Number(match[1]),
    commitLsn: parseLsn(match[2] ?? ''),
    seq: Number(match[3]),
  };
}
