// How far one partition of a connector's topics has been taken, and which of its records is a new one: in one
// partition, commits follow each other, and so do the changes of a transaction.
import type { Fetched } from '../../core/kafka/client.ts';
import type { Lsn } from '../../core/postgres/lsn.ts';
import type { LogPlace } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';

export type DecodedChange = Decoded & { readonly kind: 'change' };

export interface Lane {
  readonly name: string;
  place: LogPlace;
  records: Fetched[];
  /** Keys of the records at `place`: rows of one COPY stand at the same one. */
  keys: Set<string>;
  blocked: boolean;
}

/** Where the partition stands, to be stored. */
export function placeOf({ place, keys }: Lane): LogPlace {
  return place.lsn === undefined ? place : { ...place, keys: [...keys] };
}

/** Puts the partition's place behind a record; gives whether that is one that has not been taken yet. */
export function moves(
  lane: Lane,
  record: Fetched,
  { head, snapshot }: DecodedChange,
  timeline: number,
): boolean {
  const { place } = lane;
  const { lsn } = head;
  const next = record.offset + 1n;
  // A row that was read has no place among the changes, and says what it is whenever it comes.
  if (snapshot || lsn === undefined) {
    lane.place = { ...place, next };
    return true;
  }
  const { position, lsn: last = -1n } = place;
  const { commitLsn } = position;
  const isUnplaced = head.lastCommit === undefined && last >= 0n;
  const { lastCommit = commitLsn } = head;
  const key = record.key ?? record.value ?? '';
  if (lastCommit === commitLsn && lsn === last) {
    const isNew = !lane.keys.has(key);
    lane.keys.add(key);
    lane.place = { ...place, next };
    return isNew;
  }
  const isBefore = lastCommit < commitLsn || (lastCommit === commitLsn && lsn < last);
  if (last >= 0n && (isBefore || (isUnplaced && lsn < commitLsn))) {
    lane.place = { ...place, next };
    return false;
  }
  lane.keys = new Set([key]);
  lane.place = { ...place, next, position: { timeline, commitLsn: lastCommit, seq: 0 }, lsn };
  return true;
}

/**
 * Where a connector has forgotten where it was, and nothing was done about it yet, the place in the WAL
 * before which it may have left changes out: a snapshot sends no deletes of before it; and the first
 * transaction of one that begins anew does not say what it follows, so that a change which lies before the
 * last one may be new, or may have come already.
 */
export function holeBefore(
  { place }: Lane,
  { head: { lsn, lastCommit, isIncremental }, snapshot }: DecodedChange,
): Lsn | undefined {
  if (lsn === undefined || isIncremental === true) return undefined;
  const { copied = 0n, lsn: last = -1n, position } = place;
  const reached = last > position.commitLsn ? last : position.commitLsn;
  const isDoubtful = !snapshot && lastCommit === undefined && last >= 0n && lsn < reached;
  const hole = snapshot ? lsn : isDoubtful ? reached : 0n;
  return hole > copied ? hole : undefined;
}
