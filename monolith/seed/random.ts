// A small pseudo random generator (mulberry32): the same seed gives the same numbers everywhere.

export interface Random {
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  pick<T>(items: readonly [T, ...T[]]): T;
  chance(probability: number): boolean;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    int,
    pick: (items) => items[int(0, items.length - 1)] ?? items[0],
    chance: (probability) => next() < probability,
  };
}

/** The moment of the first row; everything else happens after it. Not the clock: seeds repeat. */
const EPOCH = Date.UTC(2023, 0, 2, 8, 0, 0);

/** `minutes` after the epoch, as a `timestamp` column takes it, with a fraction of a second. */
export function timestampAt(minutes: number, millis: number): string {
  return new Date(EPOCH + minutes * 60_000 + millis).toISOString().slice(0, -1);
}
