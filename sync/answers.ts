// What the owner's stream says at the service under a write canary besides the rows: which changes the
// owner has judged, and its rows where it did not apply them. Gathered while a batch is folded and put
// in force before it is written: of each row the last word counts, and it came after all that.
import { formatTable } from '../core/postgres/identifiers.ts';
import type { RowMessage } from '../control/domain/flow.ts';
import type { RowChange } from './domain/change.ts';
import { changeOf } from './domain/said.ts';
import type { Reset } from './flights.ts';
import type { BatchContext } from './batch-context.ts';
import type { Writer } from './writer.ts';

export class Answers {
  readonly #context: BatchContext;
  readonly #writer: Writer;
  #judged: number[] = [];
  #resets: Reset[] = [];

  constructor(context: BatchContext, writer: Writer) {
    this.#context = context;
    this.#writer = writer;
  }

  /** The owner has judged what this transaction of the service changed. */
  judged(xid: number): void {
    this.#judged.push(xid);
  }

  /** The owner's row as a change; undefined for a table that the mapping does not name. */
  async row(message: RowMessage): Promise<RowChange | undefined> {
    const { plan, copying, target, modes } = this.#context;
    const change = changeOf(plan, message);
    if (!change) return undefined;
    const { table, key, row, reset } = message;
    const edge = plan.edges.owner.find(
      (one) => formatTable(one.target) === reset && formatTable(one.source) === table,
    );
    const into = modes.owner.targets.find(({ name }) => formatTable(name) === reset);
    if (edge && into) {
      const own = key.map((value, index) => edge.key[index]?.map(value) ?? value);
      this.#resets.push({ target: into, key: own, named: key, awaited: row !== null });
    }
    if (row === null) {
      // Nothing was locked when it was said: a row may have come to be in front of it.
      await this.#writer.transaction.begin();
      await copying.readAgain(target.client, [{ table, key }]);
    }
    return change;
  }

  async land(): Promise<void> {
    const { flights } = this.#context;
    if (this.#judged.length + this.#resets.length === 0) return;
    const [judged, resets] = [this.#judged, this.#resets];
    this.#judged = [];
    this.#resets = [];
    await this.#writer.transaction.begin();
    await flights.end(judged);
    await flights.reset(resets);
  }
}
