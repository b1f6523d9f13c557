// All choices of a schedule come from one sequence of numbers, so that its seed gives it again.
import { randomOf } from '../random.ts';

export class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  /** A whole number from 0 up to, not including, `below`. */
  pick(below: number): number {
    return Math.floor(this.#random() * below);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** Throws a RangeError for an empty list. */
  one<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError('nothing to choose from');
    return list[this.pick(list.length)] as T;
  }

  /** One of the words, the more likely the greater its weight. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const all = Object.entries<number>(weights);
    let left = this.#random() * all.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [word, weight] of all) if ((left -= weight) < 0) return word as T;
    return (all.at(-1) as [T, number])[0];
  }

  shuffled<T>(list: readonly T[]): T[] {
    const rest = [...list];
    const order: T[] = [];
    while (rest.length > 0) order.push(...rest.splice(this.pick(rest.length), 1));
    return order;
  }
}
