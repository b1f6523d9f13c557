// What holds the transactions of a topic together: the first change of each says behind which one it
// comes, so that whoever reads sees that a whole one is missing; and the end of each says how far the
// topic goes, so that whoever writes sees where it may go on.
import { formatLsn, type Lsn } from '../../../core/postgres/lsn.ts';
import { HEADERS, positionStart, type Mark } from './position.ts';

/** What is known of the log before the first piece. */
export interface Footing {
  /** Of the slot. */
  readonly life: string;
  /** No transaction that is not in the topic has committed behind it and before the first piece. */
  readonly after: Lsn;
  /** The last transaction that is whole in the topic. */
  readonly last: Pick<Mark, 'position' | 'endLsn'>;
}

export type Headers = Readonly<Record<string, string>>;

export class Chain {
  readonly #life: Headers;
  readonly #timeline: number;
  /** Commit LSN of the transaction that was written last. */
  #after: Lsn | undefined;
  /** Headers of its end. */
  #ended: Headers | undefined;

  /** Without a footing nothing is said of what came before. */
  constructor(timeline: number, footing: Footing | undefined) {
    this.#timeline = timeline;
    this.#life = footing ? { [HEADERS.life]: footing.life } : {};
    if (!footing) return;
    const { position, endLsn } = footing.last;
    this.end(position.commitLsn, position.seq, endLsn);
    this.#after = footing.after;
  }

  /** Of a transaction's first change. */
  follows(): Headers | undefined {
    if (this.#after === undefined) return undefined;
    return { [HEADERS.after]: formatLsn(this.#after), ...this.#life };
  }

  /** Of the end of a transaction with `seq` changes. */
  end(commitLsn: Lsn, seq: number, endLsn: Lsn): Headers {
    if (this.#life[HEADERS.life] !== undefined) this.#after = commitLsn;
    this.#ended = {
      [HEADERS.position]: `${positionStart(this.#timeline, commitLsn)}${seq}`,
      [HEADERS.end]: formatLsn(endLsn),
      ...this.#life,
    };
    return this.#ended;
  }

  /** Of a record that says that all is written up to here. */
  idle(lsn: Lsn): Headers {
    return this.#ended ? { ...this.#ended, [HEADERS.idle]: formatLsn(lsn) } : {};
  }
}
