// What holds the transactions of a topic together: the first change of each says behind which one it
// comes, so that whoever reads sees that a whole one is missing; and the end of each says how far the
// topic goes, so that whoever writes sees where it may go on. Heartbeats are no link of that chain: one
// that retention takes from a flow that is away is nobody's loss.
//
// Only `changes` has it. In layout `table` each partition is gapless by the relay's own word (relay.ts)
// and by its offsets, which a flow keeps: what brokers lose that a flow has read, or retention deletes that
// it has not, it sees by them. What brokers lose of a partition after they acknowledged it, and before a
// flow has come there, it cannot see; a capability that may switch ownership reads `changes`.
import { decodeMessage } from '../../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../../control/domain/names.ts';
import { formatLsn, type Lsn } from '../../../core/postgres/lsn.ts';
import type { Change } from '../change.ts';
import { HEADERS, positionStart, type Mark } from './position.ts';

/** What is known of the log before the first piece. */
export interface Footing {
  /** Of the slot. */
  readonly life: string;
  /** No transaction that weighs, and is not in the topic, has committed behind it and before the first piece. */
  readonly after: Lsn;
  /** The last transaction that is whole in the topic. */
  readonly last: Pick<Mark, 'position' | 'endLsn'>;
  /** Where the topic was empty, because retention had deleted all: what is gone commits up to here. */
  readonly gone?: Lsn | undefined;
}

export type Headers = Readonly<Record<string, string>>;

export class Chain {
  readonly #life: Headers;
  readonly #timeline: number;
  /** Commit LSN of the last transaction that weighs. */
  #after: Lsn | undefined;
  /** Whether the one that is being written does. */
  #weighs = false;
  /** Headers of the last end. */
  #ended: Headers | undefined;
  /** Until a transaction is written that weighs. */
  #gone: Headers = {};

  /** Without a footing nothing is said of what came before. */
  constructor(timeline: number, footing: Footing | undefined) {
    this.#timeline = timeline;
    this.#life = footing ? { [HEADERS.life]: footing.life } : {};
    if (!footing) return;
    const { after, gone, last } = footing;
    const { position, endLsn } = last;
    this.#after = after;
    if (gone !== undefined) this.#gone = { [HEADERS.gone]: formatLsn(gone) };
    this.#ended = this.#endOf(position.commitLsn, position.seq, endLsn);
  }

  /** Of a transaction's first change. */
  follows(): Headers | undefined {
    this.#weighs = false;
    if (this.#after === undefined) return undefined;
    return { [HEADERS.after]: formatLsn(this.#after), ...this.#life, ...this.#gone };
  }

  /** To be told of each change: a transaction weighs that has more than heartbeats. */
  carries(change: Change): void {
    if (!this.#weighs) this.#weighs = !isHeartbeat(change);
  }

  /** Of the end of a transaction with `seq` changes. */
  end(commitLsn: Lsn, seq: number, endLsn: Lsn): Headers {
    if (this.#weighs && this.#after !== undefined) {
      this.#after = commitLsn;
      this.#gone = {};
    }
    this.#ended = this.#endOf(commitLsn, seq, endLsn);
    return this.#ended;
  }

  /** Of a record that says that all is written up to here. */
  idle(lsn: Lsn): Headers {
    return this.#ended ? { ...this.#ended, [HEADERS.idle]: formatLsn(lsn) } : {};
  }

  #endOf(commitLsn: Lsn, seq: number, endLsn: Lsn): Headers {
    const after = this.#after ?? commitLsn;
    return {
      [HEADERS.position]: `${positionStart(this.#timeline, commitLsn)}${seq}`,
      [HEADERS.end]: formatLsn(endLsn),
      ...this.#life,
      ...(after !== commitLsn && { [HEADERS.after]: formatLsn(after) }),
      ...this.#gone,
    };
  }
}

function isHeartbeat(change: Change): boolean {
  if (change.kind !== 'message' || change.prefix !== MESSAGE_PREFIX) return false;
  return decodeMessage(change.content)?.kind === 'heartbeat';
}
