// Another try of parked changes: all together in source order, or folded (what a row was in between may
// collide with what has been applied meanwhile, and what it is in the end may not); then row by row in
// the same two ways, and what is left one by one, each behind those of its row.
import { messageOf } from '../core/errors.ts';
import { MappingError } from './domain/mapping.ts';
import type { ParkedLetter } from './parking.ts';
import type { Judge } from './judge.ts';
import { explain, isRefusal } from './refusal.ts';
import type { BatchContext } from './batch-context.ts';
import type { Writer } from './writer.ts';

/** What became of the letters; those in neither list wait behind one that failed. */
export interface Retried {
  readonly applied: readonly string[];
  readonly failed: readonly { readonly id: string; readonly error: string }[];
}

/** Runs inside the writer's transaction. */
export async function retryLetters(
  context: BatchContext,
  writer: Writer,
  judge: Judge,
  letters: readonly ParkedLetter[],
): Promise<Retried> {
  const retry = new Retry(context, writer, judge);
  if (await retry.atOnce(letters)) return { applied: letters.map(({ id }) => id), failed: [] };
  const applied: string[] = [];
  // One row may have what another waits for.
  let left = retry.byRow(letters);
  for (let before = -1; left.length > 0 && left.length !== before;) {
    before = left.length;
    const stuck: ParkedLetter[][] = [];
    for (const group of left)
      if (await retry.atOnce(group)) applied.push(...group.map(({ id }) => id));
      else stuck.push(group);
    left = stuck;
  }
  const failed: { id: string; error: string }[] = [];
  for (const group of left) {
    const result = await retry.oneByOne(group);
    applied.push(...result.applied);
    failed.push(...result.failed);
  }
  return { applied, failed };
}

class Retry {
  readonly #context: BatchContext;
  readonly #writer: Writer;
  readonly #judge: Judge;

  constructor(context: BatchContext, writer: Writer, judge: Judge) {
    this.#context = context;
    this.#writer = writer;
    this.#judge = judge;
  }

  /** All of them or none. */
  async atOnce(letters: readonly ParkedLetter[]): Promise<boolean> {
    return (await this.#whole(letters, true)) || (await this.#whole(letters, false));
  }

  async oneByOne(letters: readonly ParkedLetter[]): Promise<Retried> {
    const applied: string[] = [];
    const failed: { id: string; error: string }[] = [];
    const stuck = new Set<string>();
    for (const letter of letters) {
      const rows = this.#rowsOf(letter);
      const waits = rows.some((row) => stuck.has(row));
      const error = waits
        ? undefined
        : letter.mode === 'sharing guest'
          ? await this.#judge.again(letter.change, letter)
          : await this.#writer.attempt(letter.mode, letter.change, true, isOne);
      if (!waits && error === undefined) {
        applied.push(letter.id);
        continue;
      }
      for (const row of rows) stuck.add(row);
      if (!waits) failed.push({ id: letter.id, error: messageOf(explain(error)) });
    }
    return { applied, failed };
  }

  /** Letters that concern the same rows, in source order, the one with the oldest first. */
  byRow(letters: readonly ParkedLetter[]): ParkedLetter[][] {
    const groups = new Map<string, Set<ParkedLetter>>();
    for (const letter of letters) {
      const rows = this.#rowsOf(letter);
      const joined = new Set([...rows.flatMap((row) => [...(groups.get(row) ?? [])]), letter]);
      for (const one of joined) for (const row of this.#rowsOf(one)) groups.set(row, joined);
    }
    return [...new Set(groups.values())].map((group) =>
      letters.filter((letter) => group.has(letter)),
    );
  }

  async #whole(letters: readonly ParkedLetter[], inOrder: boolean): Promise<boolean> {
    const { modes } = this.#context;
    const refused = await this.#writer.whole(async () => {
      for (const [index, letter] of letters.entries()) {
        const { mode, change } = letter;
        if (mode === 'sharing guest') {
          // What the service wrote is judged again, against the row as it is now.
          const refused = await this.#judge.again(change, letter);
          if (refused !== undefined) throw refused as Error;
          continue;
        }
        modes[mode].coalescer.add(change);
        if (inOrder || letters[index + 1]?.mode !== mode) await this.#writer.flush(mode);
      }
    }, isOne);
    for (const { coalescer } of Object.values(modes)) coalescer.take();
    return refused === undefined;
  }

  #rowsOf({ table, keys }: ParkedLetter): string[] {
    return this.#context.parking.namesOf(table, keys);
  }
}

/** A letter may have been written for a mapping that is another one now. */
function isOne(error: unknown): boolean {
  return isRefusal(error) || error instanceof MappingError;
}
