import { expect, test } from '@jest/globals';
import { eventually } from '../test/support/http.ts';
import { watchOverload } from './overload.ts';

/** Blocks each turn of the event loop for `ms`, until told to stop. */
function block(ms: number): () => void {
  let going = true;
  const turn = (): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
    if (going) setImmediate(turn);
  };
  turn();
  return () => {
    going = false;
  };
}

test('a blocked event loop raises the level, and a calm one lowers it again', async () => {
  const overload = watchOverload(20);
  try {
    expect(overload.sheds('low')).toBe(false);
    const stop = block(200);
    try {
      await eventually('requests to be shed', () => overload.sheds('normal'));
    } finally {
      stop();
    }
    expect(overload.sheds('high')).toBe(false);
    await eventually('calm', () => overload.level() === 0);
  } finally {
    overload.stop();
  }
});

test('without a limit nothing is ever shed', () => {
  const overload = watchOverload(undefined);
  expect(overload.sheds('low')).toBe(false);
  expect(overload.level()).toBe(0);
});
