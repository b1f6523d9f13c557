// Another try of parked changes: all together in source order, or folded (what a row was in between may
// collide with what has been applied meanwhile, and what it is in the end may not); then row by row in
// the same two ways; then rows together that wait for each other's unique values; and what is left one by
// one, each behind those of its row.
import { Contest } from './contest.ts';
import { MappingError, type Mode } from './domain/mapping.ts';
import type { Rows } from './domain/partial-rows.ts';
import type { RowOperation, TargetTable } from './domain/target-table.ts';
import type { ParkedLetter, Refusal } from './parking.ts';
import type { Judge } from './judge.ts';
import { isHeldByOurs, overwrite } from './overwrite.ts';
import { isRefusal, refusalOf } from './refusal.ts';
import type { BatchContext } from './batch-context.ts';
import type { Writer } from './writer.ts';

/** What became of the letters; those in neither list wait behind one that failed. */
export interface Retried {
  readonly applied: readonly string[];
  readonly failed: readonly { readonly id: string; readonly refusal: Refusal }[];
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
    const exchanged = await retry.exchange(stuck);
    applied.push(...exchanged.flat().map(({ id }) => id));
    left = stuck.filter((group) => !exchanged.includes(group));
  }
  const failed: { id: string; refusal: Refusal }[] = [];
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
    if ((await this.#whole(letters, true)) === undefined) return true;
    return (await this.#inTheEnd(letters)) === undefined;
  }

  /** What the rows are in the end; gives what refuses it. */
  async #inTheEnd(letters: readonly ParkedLetter[]): Promise<unknown> {
    const why = await this.#whole(letters, false);
    const mode = letters[0]?.mode;
    if (mode !== 'owner' || !letters.every((one) => one.mode === mode)) return why;
    if (!isHeldByOurs(this.#context, why)) return why;
    const changes = letters.map(({ change }) => change);
    return this.#writer.transaction.whole(
      () => overwrite(this.#context, this.#writer, mode, this.#writer.folded(mode, changes)),
      isOne,
    );
  }

  /**
   * Rows of which one has the unique value that another is to get: none can go first. All of them let
   * go of theirs, and each is written; one that is refused all the same keeps what it has, and with it
   * those back who wait for that. Gives the groups that are applied.
   */
  async exchange(groups: readonly ParkedLetter[][]): Promise<readonly ParkedLetter[][]> {
    const mode = groups[0]?.[0]?.mode;
    if (mode === undefined || mode === 'sharing guest') return [];
    const contest = new Contest(this.#context.target);
    const done: ParkedLetter[][] = [];
    let left: ParkedLetter[][] = [];
    for (const group of groups) {
      if (!group.every((letter) => letter.mode === mode)) continue;
      const why = await this.#inTheEnd(group);
      // What stood in its way may have gone with another letter.
      if (why === undefined) {
        done.push(group);
        continue;
      }
      await contest.note(why);
      left.push(group);
    }
    while (left.length > 1 && contest.size > 0) {
      const { size } = contest;
      const able: ParkedLetter[][] = [];
      const asked = left;
      const refused = await this.#writer.transaction.whole(
        async () => {
          await contest.clear(this.#folded(mode, asked));
          for (const one of asked) {
            const why = await this.#inTheEnd(one);
            if (why === undefined) able.push(one);
            else await contest.note(why);
          }
          if (able.length < asked.length) throw new Unable();
        },
        (error) => error instanceof Unable || isOne(error),
      );
      if (refused === undefined) return [...done, ...left];
      if (able.length === left.length) return done;
      if (contest.size === size) left = able;
    }
    return done;
  }

  /** What can be folded of them. */
  #folded(mode: Mode, groups: readonly (readonly ParkedLetter[])[]): Rows {
    const all = new Map<TargetTable, RowOperation[]>();
    for (const group of groups)
      try {
        const rows = this.#writer.folded(
          mode,
          group.map(({ change }) => change),
        );
        for (const [target, some] of rows) all.set(target, [...(all.get(target) ?? []), ...some]);
      } catch (error) {
        if (!isOne(error)) throw error;
      }
    return all;
  }

  async oneByOne(letters: readonly ParkedLetter[]): Promise<Retried> {
    const applied: string[] = [];
    const failed: { id: string; refusal: Refusal }[] = [];
    const stuck = new Set<string>();
    for (const letter of letters) {
      const rows = this.#rowsOf(letter);
      const waits = rows.some((row) => stuck.has(row));
      const error = waits
        ? undefined
        : letter.mode === 'sharing guest'
          ? await this.#judge.change(letter.change, letter)
          : await this.#writer.attempt(letter.mode, letter.change, true, isOne);
      if (!waits && error === undefined) {
        applied.push(letter.id);
        continue;
      }
      for (const row of rows) stuck.add(row);
      if (!waits) failed.push({ id: letter.id, refusal: refusalOf(error) });
    }
    return { applied, failed };
  }

  /** Letters that concern the same rows, in source order, the one with the oldest first. */
  byRow(letters: readonly ParkedLetter[]): ParkedLetter[][] {
    /** A row that one letter has in common with another leads to it, and so on to the first of the group. */
    const leads = new Map<string, string>();
    const firstOf = (row: string): string => {
      let first = row;
      for (let next = leads.get(first); next !== undefined; next = leads.get(first)) first = next;
      // The next one who asks has a short way.
      for (let at = row; at !== first;) {
        const next = leads.get(at) ?? first;
        leads.set(at, first);
        at = next;
      }
      return first;
    };
    const rows = letters.map((letter) => this.#rowsOf(letter));
    for (const [first = '', ...others] of rows)
      for (const row of others) {
        const [from, to] = [firstOf(row), firstOf(first)];
        if (from !== to) leads.set(from, to);
      }
    const groups = Map.groupBy(letters, (_, index) => firstOf(rows[index]?.[0] ?? ''));
    return [...groups.values()];
  }

  /** Gives what refuses them. */
  async #whole(letters: readonly ParkedLetter[], inOrder: boolean): Promise<unknown> {
    const { modes } = this.#context;
    const refused = await this.#writer.transaction.whole(async () => {
      for (const [index, letter] of letters.entries()) {
        const { mode, change } = letter;
        if (mode === 'sharing guest') {
          // What the service wrote is judged again, against the row as it is now.
          const refused = await this.#judge.change(change, letter);
          if (refused !== undefined) throw refused as Error;
          continue;
        }
        modes[mode].coalescer.add(change);
        if (inOrder || letters[index + 1]?.mode !== mode) await this.#writer.flush(mode);
      }
    }, isOne);
    for (const { coalescer } of Object.values(modes)) coalescer.take();
    return refused;
  }

  #rowsOf({ table, keys }: ParkedLetter): string[] {
    return this.#context.parking.namesOf(table, keys);
  }
}

class Unable extends Error {
  override readonly name = 'Unable';
}

/** A letter may have been written for a mapping that is another one now. */
function isOne(error: unknown): boolean {
  return isRefusal(error) || error instanceof MappingError;
}
