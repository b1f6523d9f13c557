// Writes of each capability: those in flight, and those that wait during a switch. Invariants:
//  1. while a capability is held, none of its writes is admitted;
//  2. a version that holds is quiet (`onQuiet`, which the replica acknowledges) only when no write
//     that was admitted before it is still in flight; any other as soon as it is applied;
//  3. waiting writes leave in the order they came, but for those whose route has no room, a few at a time, or with a refusal: over the
//     limit, out of time, or at shutdown. A refused write was forwarded to nobody.
// A waiting request is not read: its body stays in the socket.
import type { EventEmitter } from 'node:events';
import type { CapabilityState } from '../control/domain/state.ts';

export type HoldRefusal = 'full' | 'too-long' | 'closing';

export interface HoldOptions {
  /** Writes of one capability that may wait at once. */
  readonly limit: number;
  readonly timeoutMs: number;
  /** From now on nothing is admitted under an older state; while held, nothing older is in flight. */
  readonly onQuiet: (capability: string, version: number) => void;
  /** All writes of a hold have left, however. */
  readonly onLeft?: (capability: string, held: HeldCount) => void;
}

/** What one hold kept waiting. */
export interface HeldCount {
  /** Of the state that began it. */
  readonly version: number;
  readonly writes: number;
  readonly longestMs: number;
}

/** A write that waits; exactly one of its three ends is called. */
export interface Waiting {
  /** Emits `close` when the client goes away. */
  readonly res: EventEmitter;
  /** Those of one lane keep their order, and wait for each other's room. */
  readonly lane: object;
  /** Whether the upstream takes one more now. */
  hasRoom(): boolean;
  /** Decide anew and forward. */
  proceed(): void;
  refuse(why: HoldRefusal): void;
  /** The client has left the queue. */
  gone(): void;
}

export interface HoldFigures {
  readonly inFlight: number;
  readonly waiting: number;
  /** Since the start. */
  readonly heldTotal: number;
}

interface Gate {
  readonly capability: string;
  holding: boolean;
  version: number;
  inFlight: number;
  /** Names of those in flight that may be called back for. */
  readonly named: Set<string>;
  releasing: boolean;
  heldTotal: number;
  /** Of the hold that is on, or whose writes are still leaving. */
  held: HeldCount | undefined;
  readonly waiting: Set<Entry>;
  /** How many of those are of each lane. */
  readonly lanes: Map<object, number>;
}

interface Entry {
  readonly waiting: Waiting;
  readonly at: number;
  readonly timer: NodeJS.Timeout;
  readonly onClose: () => void;
}

/** Writes released in one turn of the event loop, so that a long queue does not hit the new owner at once. */
const RELEASED_PER_TURN = 8;
/** A release waits this long for an upstream that takes no more. */
const FULL_PAUSE_MS = 5;

export class Holds {
  readonly #options: HoldOptions;
  readonly #gates = new Map<string, Gate>();
  #closing = false;

  constructor(options: HoldOptions) {
    this.#options = options;
  }

  /** Takes new states in: holds, acknowledges, releases. */
  apply(states: ReadonlyMap<string, CapabilityState>): void {
    for (const [capability, state] of states) {
      const gate = this.#gate(capability);
      if (state.version === gate.version && state.holding === gate.holding) continue;
      gate.version = state.version;
      gate.holding = state.holding;
      if (gate.holding) gate.held ??= { version: gate.version, writes: 0, longestMs: 0 };
      if (!gate.holding || gate.inFlight === 0) this.#options.onQuiet(capability, gate.version);
      if (!gate.holding) {
        this.#release(gate);
        this.#tell(gate);
      }
    }
  }

  /** Counts a write in, under a name where it has one; the returned function, called once, counts it out. */
  enter(capability: string, name?: string): () => void {
    const gate = this.#gate(capability);
    gate.inFlight += 1;
    if (name !== undefined) gate.named.add(name);
    return () => {
      gate.inFlight -= 1;
      if (name !== undefined) gate.named.delete(name);
      if (gate.holding && gate.inFlight === 0) this.#options.onQuiet(capability, gate.version);
    };
  }

  /** Whether a new write must queue: its capability is held, or others of its lane wait before it. */
  mustWait(capability: string, lane: object): boolean {
    const gate = this.#gate(capability);
    return gate.holding || gate.lanes.has(lane);
  }

  /** Whether a write of this name is in flight. */
  has(capability: string, name: string): boolean {
    return this.#gate(capability).named.has(name);
  }

  isHolding(capability: string): boolean {
    return this.#gate(capability).holding;
  }

  /** Queues a write, or refuses it when the queue is full. */
  wait(capability: string, waiting: Waiting): void {
    const gate = this.#gate(capability);
    if (this.#closing || gate.waiting.size >= this.#options.limit) {
      waiting.refuse(this.#closing ? 'closing' : 'full');
      return;
    }
    gate.heldTotal += 1;
    const entry: Entry = {
      waiting,
      at: performance.now(),
      timer: setTimeout(() => {
        this.#leave(gate, entry);
        waiting.refuse('too-long');
      }, this.#options.timeoutMs),
      onClose: () => {
        this.#leave(gate, entry);
        waiting.gone();
      },
    };
    gate.waiting.add(entry);
    gate.lanes.set(waiting.lane, (gate.lanes.get(waiting.lane) ?? 0) + 1);
    waiting.res.once('close', entry.onClose);
  }

  /** Refuses whatever waits, now and from now on. */
  close(): void {
    this.#closing = true;
    for (const gate of this.#gates.values())
      for (const entry of [...gate.waiting]) {
        this.#leave(gate, entry);
        entry.waiting.refuse('closing');
      }
  }

  figures(capability: string): HoldFigures {
    const { inFlight, waiting, heldTotal } = this.#gate(capability);
    return { inFlight, waiting: waiting.size, heldTotal };
  }

  #release(gate: Gate): void {
    if (gate.releasing) return;
    gate.releasing = true;
    const turn = (): void => {
      let left = RELEASED_PER_TURN;
      const full = new Set<object>();
      for (const entry of gate.waiting) {
        // A new switch may have begun meanwhile: who has not left stays.
        if (gate.holding || left === 0) break;
        const { lane } = entry.waiting;
        // A route that has no room keeps those of others no longer.
        if (full.has(lane)) continue;
        if (!entry.waiting.hasRoom()) {
          full.add(lane);
          continue;
        }
        left -= 1;
        this.#leave(gate, entry);
        entry.waiting.proceed();
      }
      gate.releasing = !gate.holding && gate.waiting.size > 0;
      if (!gate.releasing) return;
      if (left > 0) setTimeout(turn, FULL_PAUSE_MS);
      else setImmediate(turn);
    };
    turn();
  }

  #gate(capability: string): Gate {
    let gate = this.#gates.get(capability);
    if (!gate) {
      gate = {
        capability,
        holding: false,
        version: -1,
        inFlight: 0,
        named: new Set(),
        releasing: false,
        heldTotal: 0,
        held: undefined,
        waiting: new Set(),
        lanes: new Map(),
      };
      this.#gates.set(capability, gate);
    }
    return gate;
  }

  #leave(gate: Gate, entry: Entry): void {
    gate.waiting.delete(entry);
    const { lane } = entry.waiting;
    const others = (gate.lanes.get(lane) ?? 0) - 1;
    if (others > 0) gate.lanes.set(lane, others);
    else gate.lanes.delete(lane);
    clearTimeout(entry.timer);
    entry.waiting.res.off('close', entry.onClose);
    if (gate.held)
      gate.held = {
        version: gate.held.version,
        writes: gate.held.writes + 1,
        longestMs: Math.max(gate.held.longestMs, performance.now() - entry.at),
      };
    if (!gate.holding || this.#closing) this.#tell(gate);
  }

  #tell(gate: Gate): void {
    const { capability, held } = gate;
    if (gate.waiting.size > 0 || !held) return;
    gate.held = undefined;
    if (held.writes > 0) this.#options.onLeft?.(capability, held);
  }
}
