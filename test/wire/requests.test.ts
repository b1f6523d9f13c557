// Every request of the tables, over a raw socket, against the standalone server: what reaches an
// upstream, what the client gets, and whether the connection is still in step afterwards. Upstreams
// record each byte, so a request that was smuggled cannot go unseen.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { call } from '../support/http.ts';
import { startWire, type WireEdge } from './wire-edge.ts';
import { CASES } from './corpus.ts';
import { play } from './play.ts';

let edge: WireEdge;

beforeAll(async () => {
  edge = await startWire();
});

afterAll(async () => {
  await edge.close();
});

beforeEach(async () => {
  // Both upstreams have a free connection: what reaches them does not depend on the case before.
  for (const path of ['/', '/api/products/1'])
    expect(await call(`http://127.0.0.1:${edge.port}${path}`)).toMatchObject({ status: 200 });
  edge.forget();
});

test('the tables hold enough', () => {
  expect(Object.values(CASES).flat().length).toBeGreaterThan(250);
});

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  test.each(cases.map((one) => [one.name, one] as const))('%s', async (_name, one) => {
    const { arrived, strays, then } = await play(edge, one);
    // Requests of one piece go out side by side, so that their order is the upstream's affair.
    expect({ arrived: [...arrived].sort(), then }).toEqual({
      arrived: [...one.arrives].sort(),
      then: one.then,
    });
    // Only what was cut short, or is still under way, may leave a part of a request behind.
    if (one.then !== 'waits' && !(typeof one.then === 'object' && 'broken' in one.then))
      expect(strays).toEqual([]);
  });
});
