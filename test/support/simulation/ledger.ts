// Proof that each change has its effect once and in order: every row carries versions, which only grow,
// and whatever an applier writes must bring one that it has not written to that row before, and none
// that is older. A row that is read again at the source may come as it is.
import type { Note } from './side.ts';

/** Where the versions of a row stand. */
const VERSIONS: Readonly<Record<string, readonly number[]>> = {
  prd: [2, 3],
  product: [2, 6],
  cat: [1],
  category: [1],
  rate: [2],
  price: [2],
  dept: [1],
  team: [1],
  emp: [1],
  person: [1],
};

/** Where a product has the column that stays with the service. */
const STAYS = 7;

const STAND_IN = /^[0-9a-f]{32}$/;

export class Ledger {
  readonly #last = new Map<string, (number | undefined)[]>();
  /** Rows have been copied or read again: what they bring may be there already. */
  isLoose = false;

  /** Takes in what an applier has written. Throws when it was written before. */
  took(
    notes: readonly Note[],
    keyOf: (table: string, row: NonNullable<Note['now']>) => string,
  ): void {
    const gone = new Map(
      notes.flatMap(({ table, op, old }, index) =>
        op === 'DELETE' && old ? [[`${table} ${keyOf(table, old)}`, index]] : [],
      ),
    );
    for (const [index, { table, op, old, now }] of notes.entries()) {
      const places = VERSIONS[table];
      if (!now || !places) continue;
      const row = `${table} ${keyOf(table, now)}`;
      // A row gets its new key first, and lets go of a unique value that another one has to get first.
      if (op === 'UPDATE' && old && keyOf(table, old) !== keyOf(table, now)) continue;
      if (STAND_IN.test(now[1] ?? '')) continue;
      // References of rows that are about to go may be cleared first.
      if (op === 'UPDATE' && (gone.get(row) ?? -1) > index) continue;
      // Before a row that something kept from being deleted is overwritten, what stays with it is reset.
      if (op === 'UPDATE' && table === 'product' && old?.[STAYS] !== now[STAYS]) {
        const rest = (row: Note['now']): string => JSON.stringify(row?.slice(0, STAYS));
        if (rest(old) === rest(now)) continue;
      }
      // Columns that only stay begin anew with a new row.
      const isNew = op === 'INSERT';
      const versions = places.map((place, nth) =>
        isNew && nth > 0 ? undefined : version(now[place] ?? null),
      );
      const last = this.#last.get(row);
      // A row that something kept from being deleted may be overwritten by the one that came after it.
      const compared = this.isLoose ? versions.slice(0, 1) : versions;
      const older = compared.some((one, nth) => (one ?? Infinity) < (last?.[nth] ?? 0));
      const isNewer = versions.some((one, nth) => (one ?? 0) > (last?.[nth] ?? 0));
      const isCleared = table === 'prd' && now[3] === null;
      // A key that the service used again: what the monolith wrote into the old row ends there.
      const isBegun = table === 'product' && now[6] === '0' && (last?.[1] ?? 0) > 0;
      if (!isBegun && (older || (!isNewer && !isCleared && !this.isLoose)))
        throw new Error(
          `${row} was written twice: version ${versions.join('/')} after ${last?.join('/') ?? 'none'}`,
        );
      this.#last.set(
        row,
        versions.map((one, nth) => one ?? (isNew ? undefined : last?.[nth])),
      );
    }
  }
}

function version(value: string | null): number | undefined {
  const digits = /\d+/.exec(value ?? '')?.[0];
  return digits === undefined ? undefined : Number(digits);
}
