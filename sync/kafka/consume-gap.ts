// What retention has deleted between the place where a flow stopped and the first record that is left. The
// flow may pass by that only where none of it was its own: the first record behind it that is says so.
// Until then nothing that is read counts, or the flow would be past what it may have missed.
import { formatLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';
import { MESSAGE_PREFIX } from '../../control/domain/names.ts';
import { capabilityOf } from '../domain/debezium/concern.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { behindOf } from '../domain/debezium/position.ts';
import { HoleError } from '../domain/run.ts';

export class Gap {
  readonly #capability: string;
  readonly #from: Position;
  /** No transaction behind where the flow stopped has begun yet: there alone retention leaves a gap. */
  #atStart = true;
  /** While nobody has said whose what is missing was: what the transaction that is being read follows. */
  #follows: Lsn | undefined;

  constructor(capability: string, from: Position) {
    this.#capability = capability;
    this.#from = from;
  }

  get isOpen(): boolean {
    return this.#follows !== undefined;
  }

  /** What must have been taken before a transaction, by what its first change says that it follows. */
  asked(follows: Lsn | undefined): Lsn | undefined {
    const isLeft = this.#atStart && follows !== undefined && follows > this.#from.commitLsn;
    this.#atStart = false;
    if (isLeft || this.isOpen) this.#follows = follows;
    return isLeft ? this.#from.commitLsn : follows;
  }

  /** To be told of each new change. Throws HoleError where something of the flow's own is missing. */
  sees(decoded: Decoded, headers: Readonly<Record<string, string>>): void {
    if (this.#follows === undefined) return;
    const said = behindOf(headers).get(this.#capability);
    const last = said ?? (this.#isOwn(decoded) ? this.#follows : undefined);
    if (last === undefined) return;
    const { commitLsn } = this.#from;
    if (last > commitLsn)
      throw new HoleError(
        `what is next of ${this.#capability} comes behind the transaction that committed at ${formatLsn(last)}, and ${formatLsn(commitLsn)} was the last that came`,
      );
    this.#follows = undefined;
  }

  #isOwn(decoded: Decoded): boolean {
    if (decoded.kind !== 'change') return false;
    const { change } = decoded;
    if (change.kind !== 'message') return true;
    return change.prefix === MESSAGE_PREFIX && capabilityOf(change.content) === this.#capability;
  }
}
