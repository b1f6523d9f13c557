// Reproducible randomness for load: the same seed gives the same choices.

/** mulberry32: a number in [0, 1) at each call. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Seeds to run: a few by default, `SEEDS=n` for a soak, `SEED=n` for one of them again. */
export function seeds(few: number): number[] {
  const one = process.env['SEED'];
  if (one !== undefined) return [Number(one)];
  const count = Number(process.env['SEEDS'] ?? few);
  const from = process.env['SEEDS'] === undefined ? 1 : Math.floor(Math.random() * 1_000_000);
  return Array.from({ length: count }, (_, index) => from + index);
}
