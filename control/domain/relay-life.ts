// The life of a relay's slot, from when it was made: which server, on which timeline, and from where on.
// It is noted at the source beside the slot, and on what the relay writes, so that a topic tells what is
// of which life: WAL positions of two servers, or of one that was set back, mean different things under
// the same numbers. What a server that is dead wrote on an older timeline may lie behind the beginning.
import { formatLsn, parseLsn, type Lsn } from '../../core/postgres/lsn.ts';

export interface RelayLife {
  /** As records bear it: `system/timeline/LSN`. */
  readonly name: string;
  /** `system_identifier` of the server that the slot was made at; its copies have the same. */
  readonly system: string;
  /** That of all flows which began by it, or an older one than theirs; 0 where the note does not say it. */
  readonly timeline: number;
  /** Whatever commits after it is sent. */
  readonly begins: Lsn;
  /** Set where no flow needs it any more: it stays for what outboxes had up to there. */
  readonly leaves?: Lsn;
}

/** What there is of a relay at its source. */
export interface RelayStanding {
  readonly life: RelayLife | undefined;
  /** Undefined where there is none; `lost` where the server has given it up. */
  readonly slot: { readonly confirmed: Lsn; readonly isLost: boolean } | undefined;
  /** The tables of its publication, as `schema.table`. */
  readonly listed: readonly string[];
}

const NOTE =
  /^banyan: the relay's slot was made at ((\d+)\/(?:(\d+)\/)?([0-9A-F]+\/[0-9A-F]+))(?:; it leaves at ([0-9A-F]+\/[0-9A-F]+))?$/;

export function lifeOf(system: string, timeline: number, begins: Lsn): RelayLife {
  return { name: `${system}/${timeline}/${formatLsn(begins)}`, system, timeline, begins };
}

/** The comment on the relay's publication. */
export function noteOf({ name, leaves }: RelayLife): string {
  const end = leaves === undefined ? '' : `; it leaves at ${formatLsn(leaves)}`;
  return `banyan: the relay's slot was made at ${name}${end}`;
}

/** Undefined where it is none of ours. One of before timelines were noted keeps the name that records bear. */
export function parseNote(comment: string | null | undefined): RelayLife | undefined {
  const [, name, system = '', timeline, begins = '', leaves] = NOTE.exec(comment ?? '') ?? [];
  if (name === undefined) return undefined;
  return {
    ...{ name, system, timeline: Number(timeline ?? 0), begins: parseLsn(begins) },
    ...(leaves !== undefined && { leaves: parseLsn(leaves) }),
  };
}

/**
 * Whether a relay that no flow needs has still to send what its outboxes (`schema.table`) had by the time that
 * the last flow went. Before anybody has noted when that was, it has.
 */
export function owesEvents(
  { life, slot, listed }: RelayStanding,
  outboxes: readonly string[],
): boolean {
  if (!life || !slot || slot.isLost) return false;
  if (!outboxes.some((table) => listed.includes(table))) return false;
  return life.leaves === undefined || slot.confirmed < life.leaves;
}
