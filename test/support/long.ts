// What `npm test` leaves to `npm run test:long`, which CI runs too: the same promise at every place, where
// one place stands for all of them.
import { test } from '@jest/globals';

const LONG = process.env['LONG'] !== undefined;

/** A test of the long run alone. */
export const longTest = (...given: Parameters<typeof test>): void => {
  (LONG ? test : test.skip)(...given);
};

/** All cases in the long run; else those that stand for them. */
export function cases<T>(all: readonly T[], ...few: readonly T[]): readonly T[] {
  return LONG ? all : few;
}
