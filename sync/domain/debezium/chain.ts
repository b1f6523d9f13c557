// What holds the transactions of a topic together: the first change of each says behind which one it
// comes, so that whoever reads sees that a whole one is missing; and the end of each says how far the
// topic goes, so that whoever writes sees where it may go on. Heartbeats are no link of that chain: one
// that retention takes from a flow that is away is nobody's loss. And the first change of each capability
// in a transaction says behind which one of its own it comes: what retention took of others was not its.
//
// Only `changes` has it. In layout `table` each partition is gapless by the relay's own word (relay.ts)
// and by its offsets, which a flow keeps: what brokers lose that a flow has read, or retention deletes that
// it has not, it sees by them. What brokers lose of a partition after they acknowledged it, and before a
// flow has come there, it cannot see; a capability that may switch ownership reads `changes`.
import { decodeMessage } from '../../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../../control/domain/names.ts';
import { formatLsn, type Lsn } from '../../../core/postgres/lsn.ts';
import type { Change, Relation } from '../change.ts';
import type { Concerns } from './concern.ts';
import { formatBehind, HEADERS, positionStart, type Behind, type Mark } from './position.ts';

/** What is known of the log before the first piece. */
export interface Footing {
  /** Of the slot. */
  readonly life: string;
  /** No transaction that weighs, and is not in the topic, has committed behind it and before the first piece. */
  readonly after: Lsn;
  /** The last transaction that is whole in the topic. */
  readonly last: Pick<Mark, 'position' | 'endLsn'>;
  /** By capability, where that is not `after`. */
  readonly behind?: Behind | undefined;
  /** Where the topic was empty, because retention had deleted all: what is gone commits up to here. */
  readonly gone?: Lsn | undefined;
}

/** What the transaction that comes next would say of what it comes behind. */
export interface ChainEnd {
  readonly life: string;
  readonly after: Lsn;
  readonly behind: Behind;
}

export type Headers = Readonly<Record<string, string>>;

export class Chain {
  readonly #footing: Footing | undefined;
  readonly #life: Headers;
  readonly #concerns: Concerns | undefined;
  /** Commit LSN of the last transaction that weighs. */
  #after: Lsn | undefined;
  /** By capability, of the last that had something of it. */
  readonly #lasts = new Map<string, Lsn>();
  /** Whether the one that is being written weighs, what has been said in it, and whose it is. */
  #weighs = false;
  readonly #said = new Set<string>();
  readonly #concerned = new Set<string>();
  #relation: Relation | undefined;
  /** Headers of the last end. */
  #ended: Headers | undefined;
  /** Until a transaction is written that weighs. */
  #gone: Headers = {};

  /** Without a footing nothing is said of what came before. */
  constructor(timeline: number, footing: Footing | undefined, concerns?: Concerns) {
    this.#footing = footing;
    this.#concerns = concerns;
    this.#life = footing ? { [HEADERS.life]: footing.life } : {};
    if (!footing) return;
    const { after, gone, behind, last } = footing;
    const { position, endLsn } = last;
    this.#after = after;
    if (gone !== undefined) this.#gone = { [HEADERS.gone]: formatLsn(gone) };
    for (const id of concerns?.all ?? []) {
      // Of what comes again nothing is behind; of what is gone nobody knows whose it was.
      const known = behind?.get(id) ?? after;
      this.#lasts.set(id, gone ?? (known < after ? known : after));
    }
    const { commitLsn, seq } = position;
    this.#ended = this.#endOf(`${positionStart(timeline, commitLsn)}${seq}`, commitLsn, endLsn);
  }

  /** Undefined where it is not known. */
  get end(): ChainEnd | undefined {
    if (!this.#footing || this.#after === undefined || HEADERS.gone in this.#gone) return undefined;
    const { life } = this.#footing;
    return { life, after: this.#after, behind: new Map(this.#lasts) };
  }

  /** To be told of each change, in order; gives what its record says of what it comes behind. */
  carries(change: Change, isFirst: boolean): Headers | undefined {
    if (isFirst) {
      this.#weighs = false;
      this.#said.clear();
      this.#concerned.clear();
      this.#relation = undefined;
    }
    // Most changes are of the table that the one before was of, and have nothing new to say.
    if ('relation' in change) {
      if (change.relation === this.#relation) return undefined;
      this.#relation = change.relation;
    }
    const weighs = !isHeartbeat(change);
    this.#weighs ||= weighs;
    if (this.#after === undefined) return undefined;
    const behind = this.#named(change, weighs);
    const first = isFirst && { [HEADERS.after]: formatLsn(this.#after), ...this.#life };
    if (!first && behind === undefined) return undefined;
    return {
      ...(first && { ...first, ...this.#gone }),
      ...(behind !== undefined && { [HEADERS.behind]: behind }),
    };
  }

  /** Of the end of a transaction whose last change is at `position`. */
  ends(position: string, commitLsn: Lsn, endLsn: Lsn): Headers {
    if (this.#weighs && this.#after !== undefined) {
      this.#after = commitLsn;
      this.#gone = {};
      for (const id of this.#concerned) this.#lasts.set(id, commitLsn);
    }
    this.#ended = this.#endOf(position, commitLsn, endLsn);
    return this.#ended;
  }

  /** Of a record that says that all is written up to here. */
  idle(lsn: Lsn): Headers {
    return this.#ended ? { ...this.#ended, [HEADERS.idle]: formatLsn(lsn) } : {};
  }

  #endOf(position: string, commitLsn: Lsn, endLsn: Lsn): Headers {
    const after = this.#after ?? commitLsn;
    const behind = this.#behindOf(this.#lasts.keys());
    return {
      [HEADERS.position]: position,
      [HEADERS.end]: formatLsn(endLsn),
      ...this.#life,
      ...(after !== commitLsn && { [HEADERS.after]: formatLsn(after) }),
      ...(behind !== undefined && { [HEADERS.behind]: behind }),
      ...this.#gone,
    };
  }

  /** What the capabilities come behind that have not been named in this transaction yet. */
  #named(change: Change, weighs: boolean): string | undefined {
    const fresh: string[] = [];
    for (const id of this.#concerns?.of(change) ?? []) {
      if (weighs) this.#concerned.add(id);
      if (this.#said.has(id)) continue;
      this.#said.add(id);
      fresh.push(id);
    }
    return this.#behindOf(fresh);
  }

  #behindOf(ids: Iterable<string>): string | undefined {
    const others: [string, Lsn][] = [];
    for (const id of ids) {
      const last = this.#lasts.get(id);
      if (last !== undefined && last !== this.#after) others.push([id, last]);
    }
    return others.length === 0 ? undefined : formatBehind(others);
  }
}

function isHeartbeat(change: Change): boolean {
  if (change.kind !== 'message' || change.prefix !== MESSAGE_PREFIX) return false;
  return decodeMessage(change.content)?.kind === 'heartbeat';
}
