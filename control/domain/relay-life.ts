// The life of a relay's slot, from when it was made: which server, and from where on. It is noted at the
// source beside the slot, and on what the relay writes, so that a topic tells what is of which life: WAL
// positions of two servers, or of one that was set back, mean different things under the same numbers.
import { formatLsn, parseLsn, type Lsn } from '../../core/postgres/lsn.ts';

export interface RelayLife {
  /** As records bear it: `system/LSN`. */
  readonly name: string;
  /** `system_identifier` of the server that the slot was made at; its copies have the same. */
  readonly system: string;
  /** Whatever commits after it is sent. */
  readonly begins: Lsn;
}

const NOTE = /^banyan: the relay's slot was made at (\d+)\/([0-9A-F]+\/[0-9A-F]+)$/;

export function lifeOf(system: string, begins: Lsn): RelayLife {
  return { name: `${system}/${formatLsn(begins)}`, system, begins };
}

/** The comment on the relay's publication. */
export function noteOf({ name }: RelayLife): string {
  return `banyan: the relay's slot was made at ${name}`;
}

/** Undefined where it is none of ours. */
export function parseNote(comment: string | null | undefined): RelayLife | undefined {
  const match = NOTE.exec(comment ?? '');
  return match ? lifeOf(match[1] ?? '', parseLsn(match[2] ?? '')) : undefined;
}
