// What travels in a source's WAL beside its data: transactional logical messages that both ends of
// a flow understand. They need no table and no grant, and arrive in commit order with the data.

/** `to`: monolith → service. `back`: service → monolith. */
export type Direction = 'to' | 'back';

export type FlowMessage =
  /**
   * The target is complete up to `at` (control database's clock; null while that cannot be asked) once
   * this has been applied. What is read after it sees every transaction before `xmin`.
   */
  | {
      readonly kind: 'heartbeat';
      readonly flow: string;
      readonly at: string | null;
      readonly xmin: number;
    }
  /** From here on the source does, or does not, own what moves. Written by fence and unfence. */
  | {
      readonly kind: 'ownership';
      readonly capability: string;
      readonly epoch: number;
      readonly owns: boolean;
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

const KINDS = new Set<FlowMessage['kind']>(['heartbeat', 'ownership', 'barrier', 'low', 'high']);
