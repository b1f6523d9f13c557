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
}

const NOTE = /^banyan: the relay's slot was made at ((\d+)\/(?:(\d+)\/)?([0-9A-F]+\/[0-9A-F]+))$/;

export function lifeOf(system: string, timeline: number, begins: Lsn): RelayLife {
  return { name: `${system}/${timeline}/${formatLsn(begins)}`, system, timeline, begins };
}

/** The comment on the relay's publication. */
export function noteOf({ name }: RelayLife): string {
  return `banyan: the relay's slot was made at ${name}`;
}

/** Undefined where it is none of ours. One of before timelines were noted keeps the name that records bear. */
export function parseNote(comment: string | null | undefined): RelayLife | undefined {
  const [, name, system = '', timeline, begins = ''] = NOTE.exec(comment ?? '') ?? [];
  if (name === undefined) return undefined;
  return { name, system, timeline: Number(timeline ?? 0), begins: parseLsn(begins) };
}
