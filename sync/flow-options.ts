// What a flow is told when it is started.
import type { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import type { Capability } from '../control/definition.ts';
import type { Evidence } from '../control/evidence.ts';
import type { Direction } from '../control/domain/flow.ts';
import type { ChangeLog } from './change-log.ts';
import type { Connected } from './kafka/connector-flow.ts';
import type { Relayed } from './kafka/consume-flow.ts';
import type { LiveReferences } from './references.ts';

/** The logins of the two databases that a capability joins. */
export interface Logins {
  readonly capture: string;
  readonly applier: string;
}

export interface FlowOptions {
  readonly id: string;
  readonly capability: Capability;
  readonly direction: Direction;
  readonly monolith: Logins;
  readonly service: Logins;
  readonly evidence: Evidence;
  readonly log: Logger;
  /** Stands between the slot and the applier; tests and fault injection use it. */
  readonly wrapLog?: (log: ChangeLog) => ChangeLog;
  readonly chunkRows?: number;
  /** Set where changes come over Kafka. */
  readonly relayed?: Relayed;
  /** Set where a connector of the team's brings them there. */
  readonly connected?: Connected;
  /** What lookups have been told so far, where the flow has run before: a code that means something else stops it. */
  readonly references?: LiveReferences;
  /** How long a server may say nothing, although it was asked. */
  readonly silenceMs?: number;
  /** Called when source and target are open and the stream begins. */
  readonly onRunning?: () => void;
  /** Tables that are copied at a time; one where left out. */
  readonly copyTables?: number;
  readonly copyRowsPerSecond?: number | undefined;
  /** How time passes between two heartbeats, reports, looks; by the clock where left out. */
  readonly pause?: typeof sleep;
  /** Whether a human has paused the copy alone. */
  readonly copyPaused?: () => boolean;
}
