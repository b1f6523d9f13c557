import { expect, test } from '@jest/globals';
import { serveEdge } from '../test/support/edge.ts';
import { call, eventually, json, serve } from '../test/support/http.ts';
import { adminApp, adminServer } from './admin.ts';
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

const silent = { warn: () => undefined } as never;

test('a blocked event loop raises the level, and a calm one lowers it again', async () => {
  const overload = watchOverload(20, silent);
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

test('an edge that refuses whatever comes still answers at its admin port', async () => {
  const overload = watchOverload(10, silent);
  const upstream = await serve(json({ ok: true }));
  const edge = await serveEdge({ monolith: upstream.url, sheds: overload.sheds });
  const view = {
    readiness: () => ({ ready: true, missing: [] }),
    state: () => Promise.resolve({}),
    metrics: async () => ({ type: 'text/plain', text: await edge.metrics.registry.metrics() }),
  };
  const admin = await serve(() => undefined, adminServer(adminApp(view)));
  const stop = block(100);
  try {
    await eventually('requests to be shed', () => overload.sheds('normal'));
    expect(await call(edge.url)).toMatchObject({ status: 503 });
    for (const asked of ['healthz', 'readyz', 'metrics'])
      expect(await call(`${admin.url}/${asked}`)).toMatchObject({ status: 200 });
    expect(await call(edge.url)).toMatchObject({ status: 503 });
  } finally {
    stop();
    overload.stop();
    for (const one of [admin, edge, upstream]) await one.close();
  }
});

test('without a limit nothing is ever shed', () => {
  const overload = watchOverload(undefined, silent);
  expect(overload.sheds('low')).toBe(false);
  expect(overload.level()).toBe(0);
});

test('what is refused is said in the log: at once, then at most once a second with the count', async () => {
  const told: { at: number; refused: number }[] = [];
  const warn = (_message: string, { refused }: { refused: number }): void => {
    told.push({ at: performance.now(), refused });
  };
  const overload = watchOverload(20, { warn } as never);
  let refused = 0;
  const stop = block(200);
  try {
    await eventually('lines to be written', () => {
      if (overload.sheds('normal')) refused += 1;
      return told.length >= 2;
    });
  } finally {
    stop();
    overload.stop();
  }
  expect(told.reduce((sum, one) => sum + one.refused, 0)).toBe(refused);
  const [first, second] = told;
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(900);
});

test('where nothing is refused nothing is said', async () => {
  const told: string[] = [];
  const overload = watchOverload(20, { warn: (message: string) => told.push(message) } as never);
  const stop = block(200);
  try {
    await eventually('a level', () => overload.level() === 3);
  } finally {
    stop();
    overload.stop();
  }
  expect(told).toEqual([]);
});
