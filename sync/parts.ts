// Which parts of merged rows must be read because of a transaction's changes: those that have been
// waiting for their driver, which comes, and those that it may leave behind when it goes.
import type { RowName } from './copy-records.ts';
import type { RowChange } from './domain/change.ts';
import type { Mode } from './domain/mapping.ts';
import { keyText } from './domain/target-table.ts';
import type { BatchContext } from './batch-context.ts';

export class Parts {
  readonly #context: BatchContext;
  readonly #noted = new Map<string, RowName>();

  constructor(context: BatchContext) {
    this.#context = context;
  }

  /**
   * Notes what a change that is written, or parked, means to other parts of its row: `all` of them, and what
   * drives them, where it is written late, for they may have been read and dropped meanwhile.
   */
  meet(mode: Mode, change: RowChange, all = false): void {
    const { parts, copying, modes } = this.#context;
    // What the service writes while both sides do is judged, never read into the owner's rows.
    if (parts.size === 0 || mode !== 'owner') return;
    const { coalescer } = modes[mode];
    const table = coalescer.labelOf(change.relation);
    const keys = coalescer.rowsOf(change);
    const own = parts.get(table);
    if (!own && all) {
      const drivers = [...parts].filter(([, theirs]) => theirs.includes(table));
      for (const [driver] of drivers)
        for (const key of keys) this.#noted.set(nameOf(driver, key), { table: driver, key });
      return;
    }
    if (!own) {
      if (change.kind === 'delete') for (const key of keys) this.#noted.delete(nameOf(table, key));
      return;
    }
    const comes = change.kind === 'delete' ? undefined : keys.at(-1);
    for (const key of keys)
      for (const part of key === comes && !all ? copying.awaited(own, key) : own)
        this.#noted.set(nameOf(part, key), { table: part, key });
  }

  /** Puts them on the list of rows to read again, in the transaction of the changes. */
  async settle(): Promise<void> {
    const rows = [...this.#noted.values()];
    this.#noted.clear();
    const { copying, target } = this.#context;
    if (rows.length > 0) await copying.readAgain(target.client, rows);
  }
}

function nameOf(table: string, key: readonly string[]): string {
  return `${table} ${keyText(key)}`;
}
