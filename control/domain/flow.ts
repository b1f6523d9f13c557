// What travels in a source's WAL beside its data: transactional logical messages that both ends of
// a flow understand. They need no table and no grant, and arrive in commit order with the data.

/** `to`: monolith → service. `back`: service → monolith. */
export type Direction = 'to' | 'back';

export type FlowMessage =
  /**
   * The target is complete up to `at` (control database's clock; null while that cannot be asked) once
   * this has been applied. What is read after it sees every transaction before `xmin`, and before `xmax`
   * those that are not `running`.
   */
  | {
      readonly kind: 'heartbeat';
      readonly flow: string;
      readonly at: string | null;
      readonly xmin: number;
      readonly xmax?: number;
      readonly running?: readonly number[];
    }
  /**
   * From here on the source does, or does not, own what moves; `shared`: both sides write it, and the
   * one that owns it judges. Written by fence and unfence.
   */
  | {
      readonly kind: 'ownership';
      readonly capability: string;
      readonly epoch: number;
      readonly owns: boolean;
      readonly shared?: boolean;
    }
  /**
   * In the owner's stream, before the answers: what this transaction of the service changed is in
   * flight no more.
   */
  | { readonly kind: 'judged'; readonly capability: string; readonly xid: number }
  /** In the owner's stream: a row of the owner as it is here, for a change that was not applied. */
  | RowMessage
  /** In the service's stream: a reset has been taken; what follows was made on top of it. */
  | {
      readonly kind: 'taken';
      readonly capability: string;
      /** Table of the service, and the owner's key. */
      readonly table: string;
      readonly key: readonly string[];
    }
  /** The applier records a checkpoint here, so that somebody can wait for it. */
  | { readonly kind: 'barrier'; readonly capability: string }
  /** The marks around a chunk of a backfill; `run` tells one process from the next. */
  | {
      readonly kind: 'low' | 'high';
      readonly flow: string;
      readonly run: string;
      readonly window: number;
    };

export interface RowMessage {
  readonly kind: 'row';
  readonly capability: string;
  /** Table of the owner. */
  readonly table: string;
  readonly key: readonly string[];
  /** Columns to PostgreSQL's text; null: there is no row, and it is read again behind this. */
  readonly row: Readonly<Record<string, string | null>> | null;
  /** Table of the service whose clients' changes of this row are void. */
  readonly reset: string | null;
}

export function encodeMessage(message: FlowMessage): string {
  return JSON.stringify(message);
}

/** Undefined for what is not ours to understand: a newer version's message changes nothing here. */
export function decodeMessage(content: string): FlowMessage | undefined {
  try {
    const parsed = JSON.parse(content) as FlowMessage;
    return KINDS.has(parsed.kind) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const KINDS = new Set<FlowMessage['kind']>([
  'heartbeat',
  'ownership',
  'judged',
  'row',
  'taken',
  'barrier',
  'low',
  'high',
]);
