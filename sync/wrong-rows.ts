// What is kept of rows that are wrong until all have been found and are repaired. There may be millions of them,
// with long values: nothing but their keys is held.
import type { Key } from './keys.ts';
import type { VerifySample } from './suspects.ts';
import { nameOf, type Staying } from './touch.ts';

export class WrongRows {
  /** By table of the service, those that the owner is asked for again. */
  readonly reread = new Map<string, Key[]>();
  /** Those that the monolith writes again, by what stays there. */
  readonly touched = new Map<Staying, Key[]>();
  readonly #staying: ReadonlyMap<string, Staying>;

  /** `staying` are the columns that are the monolith's while the service owns the rest of a row (touch.ts). */
  constructor(staying: ReadonlyMap<string, Staying>) {
    this.#staying = staying;
  }

  add({ table, key, kind, columns }: VerifySample): void {
    const stays = columns.flatMap(({ column }) => this.#staying.get(nameOf(table, column)) ?? []);
    // Each of them: a long value is sent only where it is written itself.
    for (const one of stays) push(this.touched, one, key);
    if (kind !== 'different' || columns.length === 0 || stays.length < columns.length)
      push(this.reread, table, key);
  }
}

function push<T>(into: Map<T, Key[]>, name: T, key: Key): void {
  const keys = into.get(name);
  if (keys) keys.push(key);
  else into.set(name, [key]);
}
