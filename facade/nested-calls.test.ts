// Writes that are made on behalf of a write in flight: they pass a hold that waits for that one.
import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { Calls } from './calls.ts';
import { KEY, serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { call, eventually, json, readAll, serve, type Reply } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Scene {
  readonly edges: readonly TestEdge[];
  /** Goes on with the outer write, which calls back through this edge; with its token, or what is given. */
  readonly callBack: (through: TestEdge, token?: string) => Promise<Reply>;
  /** Tokens that came with the writes, in their order. */
  readonly tokens: (string | undefined)[];
  readonly outer: (through: TestEdge) => Promise<Reply>;
  readonly answer: () => void;
}

/** A monolith whose write `outer` waits, and calls back when it is told to. */
async function scene(...more: Partial<TestEdgeOptions>[]): Promise<Scene> {
  const tokens: (string | undefined)[] = [];
  let finish = (): void => undefined;
  const monolith = await serve((req, res) => {
    void readAll(req).then((body) => {
      tokens.push(req.headers['x-banyan-call']?.toString());
      if (body.toString() === 'outer')
        finish = (): void => {
          json({ by: 'outer' })(req, res);
        };
      else json({ by: 'monolith' })(req, res);
    });
  }, createServer());
  const edges: TestEdge[] = [];
  for (const one of more)
    edges.push(
      await serveEdge({
        monolith: monolith.url,
        tables: true,
        facade: { timeoutMs: 20_000, hold: { timeoutMs: 700 } },
        ...one,
      }),
    );
  open.push(monolith, ...edges);
  const post = (edge: TestEdge, body: string, headers = {}): Promise<Reply> =>
    call(`${edge.url}/api/products`, { method: 'POST', body, headers });
  return {
    edges,
    tokens,
    outer: (through) => post(through, 'outer'),
    callBack: (through, token = tokens[0]) =>
      post(through, 'nested', token === undefined ? {} : { 'x-banyan-call': token }),
    answer: () => {
      finish();
    },
  };
}

test('a call that a write in flight makes back passes the hold, and the hold is quiet once both are through', async () => {
  const { edges, outer, callBack, answer, tokens } = await scene({});
  const [edge] = edges as [TestEdge];
  const first = outer(edge);
  await eventually('the outer write', () => tokens.length === 1);
  edge.set({ holding: true });
  expect(edge.quiet.at(-1)).toBe('catalog 1');
  expect((await callBack(edge)).status).toBe(200);
  // It has a token of its own, for calls that it makes itself.
  expect(tokens[1]).toMatch(/^1\.catalog\./);
  expect(tokens[1]).not.toBe(tokens[0]);
  expect(edge.quiet.at(-1)).toBe('catalog 1');
  answer();
  expect((await first).status).toBe(200);
  expect(edge.quiet.at(-1)).toBe('catalog 2');
  // The write is over, and so is what it may do.
  expect((await callBack(edge)).status).toBe(503);
});

test('what is forged, has run out, or was made for another capability waits as others do', async () => {
  const { edges, outer, callBack, answer, tokens } = await scene({});
  const [edge] = edges as [TestEdge];
  const first = outer(edge);
  await eventually('the outer write', () => tokens.length === 1);
  edge.set({ holding: true });
  const good = tokens[0] ?? '';
  const parts = good.split('.');
  const forged = [
    '',
    'nonsense',
    [...parts.slice(0, 4), 'AAAAAAAAAAAAAAAAAAAAAA', parts[5]].join('.'),
    [...parts.slice(0, 3), (Date.now() + 1e9).toString(36), ...parts.slice(4)].join('.'),
    [...parts.slice(0, 5), 'AAAAAAAAAAAA'].join('.'),
    ['2', ...parts.slice(1)].join('.'),
  ];
  const replies = await Promise.all(forged.map((token) => callBack(edge, token)));
  expect(replies.map(({ status }) => status)).toEqual(forged.map(() => 503));
  expect(tokens.length).toBe(1);
  answer();
  await first;
});

test('at another replica it passes while the first says that it is busy, which takes back what this one had said', async () => {
  const asked: string[] = [];
  let busy = true;
  const { edges, outer, callBack, answer, tokens } = await scene(
    { replicaId: 'one' },
    {
      replicaId: 'two',
      isBusy: (...args) => {
        asked.push(args.join(' '));
        return Promise.resolve(busy);
      },
    },
  );
  const [one, two] = edges as [TestEdge, TestEdge];
  const first = outer(one);
  await eventually('the outer write', () => tokens.length === 1);
  one.set({ holding: true });
  two.set({ holding: true });
  expect(two.quiet.at(-1)).toBe('catalog 2');
  const said = two.quiet.length;
  expect((await callBack(two)).status).toBe(200);
  expect(asked).toEqual(['catalog 2 one']);
  // Only now again.
  expect(two.quiet.slice(said)).toEqual(['catalog 2']);
  busy = false;
  expect((await callBack(two)).status).toBe(503);
  answer();
  await first;
});

test('a read on the way carries the token on, and nobody else’s field is passed', async () => {
  const { edges, outer, answer, tokens } = await scene({});
  const [edge] = edges as [TestEdge];
  const first = outer(edge);
  await eventually('the outer write', () => tokens.length === 1);
  const token = tokens[0] ?? '';
  for (const url of ['/api/products', '/elsewhere']) {
    await call(`${edge.url}${url}`, { headers: { 'x-banyan-call': token } });
    await call(`${edge.url}${url}`, { headers: { 'x-banyan-call': `x${token}` } });
  }
  expect(tokens.slice(1)).toEqual([token, undefined, token, undefined]);
  answer();
  await first;
});

test('a call through another capability belongs to both: what that one calls passes the hold of the first', async () => {
  const { edges, outer, callBack, answer, tokens } = await scene({});
  const [edge] = edges as [TestEdge];
  const first = outer(edge);
  await eventually('the outer write', () => tokens.length === 1);
  const calls = new Calls({
    replicaId: 'elsewhere',
    readKeys: () => Promise.resolve([{ id: '1', key: KEY, ageMs: 0 }]),
  });
  await calls.refresh();
  const others = calls.sign('other', calls.next(), 60_000) ?? '';
  // As the edge said it to the other one, which was called with the first one's.
  await callBack(edge, others);
  expect(tokens[1]).toMatch(/^1\.catalog\.\S+, 1\.other\.\S+$/);
  expect(tokens[1]?.endsWith(others)).toBe(true);
  edge.set({ holding: true });
  expect((await callBack(edge, `${others}, ${tokens[0] ?? ''}`)).status).toBe(200);
  expect((await callBack(edge, others)).status).toBe(503);
  answer();
  expect((await first).status).toBe(200);
});
