// The names under which a flow is known in the two databases it joins. Slots and origins are
// visible in a whole PostgreSQL cluster, so their names carry a fingerprint of the database.
import type { Direction } from './flow.ts';

export interface FlowNames {
  /** Key of the checkpoint: `catalog:to`. */
  readonly flow: string;
  /** Replication slot at the source. */
  readonly slot: string;
  /** Publication at the source. */
  readonly publication: string;
  /** Replication origin at the target, under which the applier writes. */
  readonly origin: string;
}

/** Schema that holds all of ours in a team's database. */
export const PARTICIPANT_SCHEMA = 'banyan';
/** Prefix of the logical messages that we write into a source's WAL. */
export const MESSAGE_PREFIX = 'banyan';

/** `source` and `target` are database names. */
export function flowNames(
  capability: string,
  direction: Direction,
  databases: { readonly source: string; readonly target: string },
): FlowNames {
  const stem = `banyan_${capability.replaceAll('-', '_')}_${direction}`;
  const flow = `${capability}:${direction}`;
  return {
    flow,
    slot: `${stem}_${fingerprint(`${databases.source}/${flow}`)}`,
    publication: stem,
    origin: `${stem}_${fingerprint(`${databases.target}/${flow}`)}`,
  };
}

export interface RelayNames {
  /** Replication slot at the source. */
  readonly slot: string;
  /** Publication at the source. */
  readonly publication: string;
}

/** Of the relay that brings a source database's changes to Kafka, for all of its flows. */
export function relayNames(database: string): RelayNames {
  return {
    slot: `banyan_relay_${fingerprint(`${database}/relay`)}`,
    publication: 'banyan_relay',
  };
}

/** FNV-1a, 32 bits, as eight hex digits. */
export function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash ^= text.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, '0');
}
