// Parts of a merged row that came before the row that drives them, as the applier knows them: what is on
// the target's list, and what the transaction that is under way adds to it.
import type { Chunk } from './chunk.ts';
import type { RowName } from './copy-records.ts';
import { keyText } from './domain/target-table.ts';

export class AwaitedParts {
  readonly #names = new Set<string>();

  /** One that an earlier process has listed. */
  add(part: RowName): void {
    this.#names.add(nameText(part));
  }

  /** Of these parts, those that have been waiting for their driver; some may have become known in this very batch. */
  among(
    parts: readonly string[],
    key: readonly string[],
    staged: readonly Chunk[],
  ): readonly string[] {
    const fresh = new Set(
      staged.flatMap(({ table, progress }) =>
        progress.kind === 'reread'
          ? progress.awaited.map((one) => nameText({ table, key: one }))
          : [],
      ),
    );
    if (this.#names.size + fresh.size === 0) return [];
    return parts.filter((table) => {
      const name = nameText({ table, key });
      return this.#names.has(name) || fresh.has(name);
    });
  }

  /** Rows have been read again, and that is committed. */
  reread(
    table: string,
    { resolved, awaited }: Chunk['progress'] & { readonly kind: 'reread' },
  ): void {
    for (const key of resolved) this.#names.delete(nameText({ table, key }));
    for (const key of awaited) this.#names.add(nameText({ table, key }));
  }
}

/** Tells rows of all tables apart. */
export function nameText({ table, key }: RowName): string {
  return `${table} ${keyText(key)}`;
}
