import { EventEmitter } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import { initialState, type CapabilityState } from '../control/domain/state.ts';
import {
  call,
  eventually,
  serveSide,
  wire,
  type Reply,
  type Side,
  type Wire,
} from '../test/support/http.ts';
import { Holds } from './holds.ts';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function side(name: string, waits = false): Promise<Side> {
  const self = await serveSide(name);
  self.waits = waits;
  open.push(self);
  return self;
}

async function edgeOf(options: TestEdgeOptions): Promise<TestEdge> {
  const edge = await serveEdge(options);
  open.push(edge);
  return edge;
}

const post = (edge: TestEdge, body: string): Promise<Reply> =>
  call(`${edge.url}/api/products`, { method: 'POST', body });

const waiting = (edge: TestEdge): number => edge.holds.figures('catalog').waiting;

async function rawPost(edge: TestEdge, body: string, length = body.length): Promise<Wire> {
  const client = await wire(edge.port);
  client.send(`POST /api/products HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`);
  return client;
}

const LANE = {};

function stateOf(version: number, holding: boolean): Map<string, CapabilityState> {
  return new Map([['catalog', { ...initialState('catalog'), version, holding }]]);
}

test('a route that has no room keeps its own writes waiting, and no others', async () => {
  const holds = new Holds({ limit: 100, timeoutMs: 10_000, onQuiet: () => undefined });
  holds.apply(stateOf(1, true));
  const full = {};
  let hasRoom = false;
  const left: string[] = [];
  const wait = (name: string, lane: object): void => {
    holds.wait('catalog', {
      ...{ res: new EventEmitter(), lane, hasRoom: () => lane !== full || hasRoom },
      ...{ proceed: () => left.push(name), refuse: () => undefined, gone: () => undefined },
    });
  };
  for (let nth = 0; nth < 20; nth++) wait(`full ${nth}`, full);
  for (let nth = 0; nth < 20; nth++) wait(`free ${nth}`, LANE);
  holds.apply(stateOf(2, false));
  await eventually('the others to leave', () => left.length === 20);
  expect(left).toEqual(Array.from({ length: 20 }, (_, nth) => `free ${nth}`));
  expect([holds.mustWait('catalog', full), holds.mustWait('catalog', LANE)]).toEqual([true, false]);
  hasRoom = true;
  await eventually('the rest to leave', () => left.length === 40);
  expect(left.slice(20)).toEqual(Array.from({ length: 20 }, (_, nth) => `full ${nth}`));
  expect(holds.mustWait('catalog', full)).toBe(false);
});

test('waiting writes leave in the order they came, a few in each turn of the event loop', async () => {
  const holds = new Holds({ limit: 100, timeoutMs: 10_000, onQuiet: () => undefined });
  holds.apply(stateOf(1, true));
  const left: number[] = [];
  for (let nth = 0; nth < 50; nth++)
    holds.wait('catalog', {
      res: new EventEmitter(),
      lane: LANE,
      hasRoom: () => true,
      proceed: () => left.push(nth),
      refuse: () => undefined,
      gone: () => undefined,
    });
  holds.apply(stateOf(2, false));
  expect(left.length).toBeGreaterThan(0);
  expect(left.length).toBeLessThan(25);
  await eventually('all to leave', () => left.length === 50);
  expect(left).toEqual([...Array(50).keys()]);
});

test('how many writes a hold kept, and for how long, is told once when the last has left, however it left', () => {
  const told: unknown[] = [];
  const holds = new Holds({
    ...{ limit: 2, timeoutMs: 10_000, onQuiet: () => undefined },
    onLeft: (capability, held) => told.push([capability, held]),
  });
  const clients = [new EventEmitter(), new EventEmitter(), new EventEmitter()];
  holds.apply(stateOf(1, true));
  for (const res of clients)
    holds.wait('catalog', {
      ...{ res, lane: LANE, hasRoom: () => true, proceed: () => undefined },
      ...{ refuse: () => undefined, gone: () => undefined },
    });
  // The flip is another version of the same hold.
  holds.apply(stateOf(2, true));
  clients[0]?.emit('close');
  expect(told).toEqual([]);
  holds.apply(stateOf(3, false));
  const longestMs = expect.any(Number);
  expect(told).toEqual([['catalog', { version: 1, writes: 2, longestMs }]]);
  // Who held nothing has nothing to tell.
  holds.apply(stateOf(4, true));
  holds.apply(stateOf(5, false));
  expect(told).toHaveLength(1);
});

test('a new hold stops a release between two turns', async () => {
  const holds = new Holds({ limit: 100, timeoutMs: 10_000, onQuiet: () => undefined });
  holds.apply(stateOf(1, true));
  let left = 0;
  for (let nth = 0; nth < 50; nth++)
    holds.wait('catalog', {
      res: new EventEmitter(),
      lane: LANE,
      hasRoom: () => true,
      proceed: () => (left += 1),
      refuse: () => undefined,
      gone: () => undefined,
    });
  holds.apply(stateOf(2, false));
  holds.apply(stateOf(3, true));
  const before = left;
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(left).toBe(before);
  holds.apply(stateOf(4, false));
  await eventually('all to leave', () => left === 50);
});

describe('while a capability is held', () => {
  test('new writes wait, reads and unclaimed writes go on, and a release sends the writes on', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const edge = await edgeOf({ monolith: monolith.url, service: service.url });
    edge.set({ phase: 'canary', holding: true });
    const held: Promise<Reply>[] = [];
    for (let nth = 0; nth < 20; nth++) {
      held.push(post(edge, `w${nth}`));
      await eventually('the write to wait', () => waiting(edge) === nth + 1);
    }
    expect(await call(`${edge.url}/api/products`)).toMatchObject({ body: '{"by":"monolith"}' });
    expect(await call(`${edge.url}/orders`, { method: 'POST', body: 'o' })).toMatchObject({
      body: '{"by":"monolith"}',
    });
    expect(monolith.seen).toEqual(['GET /api/products', 'POST /orders o']);
    expect(service.seen).toEqual([]);
    edge.set({ phase: 'cutover', holding: false });
    const replies = await Promise.all(held);
    expect(replies.map((reply) => [reply.status, reply.body])).toEqual(
      replies.map(() => [200, '{"by":"service"}']),
    );
    expect(monolith.seen.filter((line) => line.includes('/api/products w'))).toEqual([]);
    expect(new Set(service.seen).size).toBe(20);
    expect(service.seen).toHaveLength(20);
  });

  test('an undone switch sends the waiting writes to the old owner', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const edge = await edgeOf({ monolith: monolith.url, service: service.url });
    edge.set({ phase: 'canary', holding: true });
    const held = post(edge, 'w');
    await eventually('the write to wait', () => waiting(edge) === 1);
    edge.set({ holding: false });
    expect(await held).toMatchObject({ status: 200, body: '{"by":"monolith"}' });
    expect(service.seen).toEqual([]);
  });

  test('it is acknowledged only when the last write in flight has ended', async () => {
    const monolith = await side('monolith', true);
    const edge = await edgeOf({ monolith: monolith.url });
    edge.set({ phase: 'canary' });
    const writes = [post(edge, 'one'), post(edge, 'two')];
    await eventually('both to be in flight', () => monolith.pending.length === 2);
    edge.set({ holding: true });
    expect(edge.quiet.at(-1)).toBe('catalog 2');
    const late = post(edge, 'three');
    await eventually('the third to wait', () => waiting(edge) === 1);
    monolith.pending[0]?.end('done');
    await Promise.race(writes);
    await eventually('one to be counted out', () => edge.holds.figures('catalog').inFlight === 1);
    expect(edge.quiet.at(-1)).toBe('catalog 2');
    monolith.pending[1]?.end('done');
    await Promise.all(writes);
    await eventually('the acknowledgement', () => edge.quiet.at(-1) === 'catalog 3');
    expect(monolith.pending).toHaveLength(2);
    edge.set({ holding: false });
    await eventually('the third to arrive', () => monolith.pending.length === 3);
    monolith.pending[2]?.end('done');
    expect(await late).toMatchObject({ status: 200, body: 'done' });
  });

  test('a write whose client left counts as ended', async () => {
    const monolith = await side('monolith', true);
    const edge = await edgeOf({ monolith: monolith.url });
    const client = await rawPost(edge, 'x');
    await eventually('it to be in flight', () => monolith.pending.length === 1);
    edge.set({ holding: true });
    expect(edge.quiet.at(-1)).toBe('catalog 1');
    client.socket.destroy();
    await eventually('the acknowledgement', () => edge.quiet.at(-1) === 'catalog 2');
  });

  test('a hold without writes in flight is acknowledged at once, and so is a release', async () => {
    const edge = await edgeOf({ monolith: (await side('monolith')).url });
    edge.set({ holding: true });
    edge.set({ holding: false });
    expect(edge.quiet).toEqual(['catalog 1', 'catalog 2', 'catalog 3']);
  });

  test('a slow upload in flight gets one more deadline, not as long as it likes', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url, facade: { timeoutMs: 300 } });
    const client = await rawPost(edge, 'x', 1_000_000);
    await eventually('it to be in flight', () => edge.holds.figures('catalog').inFlight === 1);
    edge.set({ holding: true });
    const until = performance.now() + 30_000;
    while (edge.quiet.at(-1) !== 'catalog 2' && performance.now() < until) {
      client.send('x');
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(edge.quiet.at(-1)).toBe('catalog 2');
    expect(await client.until(/^HTTP\/1.1 \d+/)).toMatch(/^HTTP\/1.1 408/);
    client.socket.destroy();
  });

  test('over the limit a write is refused with 503 and forwarded to nobody', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url, facade: { hold: { limit: 2 } } });
    edge.set({ holding: true });
    const held = [post(edge, 'a'), post(edge, 'b')];
    await eventually('two to wait', () => waiting(edge) === 2);
    const reply = await post(edge, 'c');
    expect(reply.status).toBe(503);
    expect(reply.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': '1',
    });
    edge.set({ holding: false });
    await Promise.all(held);
    expect(monolith.seen.sort()).toEqual(['POST /api/products a', 'POST /api/products b']);
  });

  test('a write that has waited too long is refused with 503 and forwarded to nobody', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url, facade: { hold: { timeoutMs: 50 } } });
    edge.set({ holding: true });
    expect(await post(edge, 'a')).toMatchObject({ status: 503 });
    edge.set({ holding: false });
    expect(await post(edge, 'b')).toMatchObject({ status: 200 });
    expect(monolith.seen).toEqual(['POST /api/products b']);
  });

  test('the deadline of a released write starts with its release', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url, facade: { timeoutMs: 3_000 } });
    edge.set({ holding: true });
    const held = post(edge, 'a');
    const until = performance.now() + 3_600;
    await eventually('the deadline to pass', () => performance.now() > until);
    edge.set({ holding: false });
    expect(await held).toMatchObject({ status: 200 });
  });

  test('a client that goes away leaves the queue', async () => {
    const monolith = await side('monolith');
    const facade = { hold: { timeoutMs: 60_000 } };
    const edge = await edgeOf({ monolith: monolith.url, facade });
    edge.set({ holding: true });
    const client = await rawPost(edge, 'gone');
    await eventually('it to wait', () => waiting(edge) === 1);
    client.socket.destroy();
    await eventually('the queue to be empty', () => waiting(edge) === 0);
    edge.set({ holding: false });
    expect(await post(edge, 'next')).toMatchObject({ status: 200 });
    expect(monolith.seen).toEqual(['POST /api/products next']);
    expect(edge.edge.inFlight()).toBe(0);
  });

  test('a held body stays in its socket: no more of it is read than a buffer', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url });
    edge.set({ holding: true });
    const size = 64 * 1024 * 1024;
    const client = await rawPost(edge, '', size);
    let sent = 0;
    const chunk = 'x'.repeat(1024 * 1024);
    const push = (): void => {
      while (sent < size) {
        sent += chunk.length;
        if (!client.socket.write(chunk)) {
          client.socket.once('drain', push);
          return;
        }
      }
    };
    push();
    let last = -1;
    let still = 0;
    await eventually('the client to stand still', () => {
      still = sent === last ? still + 1 : 0;
      last = sent;
      return waiting(edge) === 1 && still > 20;
    });
    expect(sent).toBeLessThan(size / 2);
    edge.set({ holding: false });
    await eventually('all of it to arrive', () => monolith.seen.length === 1);
    expect(monolith.seen[0]).toHaveLength('POST /api/products '.length + size);
    client.socket.destroy();
  });

  test('who comes during the release queues behind those who wait', async () => {
    const service = await side('service');
    const edge = await edgeOf({ monolith: service.url });
    edge.set({ holding: true });
    const held: Promise<Reply>[] = [];
    for (let nth = 0; nth < 40; nth++) held.push(post(edge, 'early'));
    await eventually('all to wait', () => waiting(edge) === 40);
    edge.set({ holding: false });
    // Paced: the queue is not empty after the first turn, so a new write must wait, too.
    expect(waiting(edge)).toBeGreaterThan(0);
    held.push(post(edge, 'late'));
    await Promise.all(held);
    expect(edge.holds.figures('catalog').heldTotal).toBe(41);
    await post(edge, 'behind');
    expect(edge.holds.figures('catalog').heldTotal).toBe(41);
  });

  test('a new hold in the middle of a release keeps those who have not left', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url });
    edge.set({ holding: true });
    const held = Array.from({ length: 30 }, (_, nth) => post(edge, `w${nth}`));
    await eventually('all to wait', () => waiting(edge) === 30);
    edge.set({ holding: false });
    edge.set({ holding: true });
    const kept = waiting(edge);
    expect(kept).toBeGreaterThan(0);
    await eventually('the others to end', () => edge.quiet.at(-1) === 'catalog 4');
    expect(monolith.seen).toHaveLength(30 - kept);
    expect(waiting(edge)).toBe(kept);
    edge.set({ holding: false });
    expect((await Promise.all(held)).every((reply) => reply.status === 200)).toBe(true);
    expect(monolith.seen).toHaveLength(30);
  });

  test('at shutdown the waiting writes are refused and forwarded to nobody', async () => {
    const monolith = await side('monolith');
    const edge = await edgeOf({ monolith: monolith.url });
    edge.set({ holding: true });
    const held = post(edge, 'a');
    await eventually('it to wait', () => waiting(edge) === 1);
    edge.edge.drain();
    expect(await held).toMatchObject({ status: 503 });
    expect(await post(edge, 'b')).toMatchObject({ status: 503 });
    expect(monolith.seen).toEqual([]);
  });
});

test('states may change at any rate under load: no request fails, none is lost, none arrives twice', async () => {
  const monolith = await side('monolith');
  const service = await side('service');
  const edge = await edgeOf({ monolith: monolith.url, service: service.url });
  let changes = 0;
  let over = false;
  const flip = (): void => {
    if (over) return;
    changes += 1;
    // Hold, flip, release, hold, flip back, release.
    const step = changes % 4;
    if (step === 0) edge.set({ holding: true });
    else if (step === 1) edge.set({ phase: 'cutover', holding: false });
    else if (step === 2) edge.set({ holding: true });
    else edge.set({ phase: 'canary', weight: 50, holding: false });
    setImmediate(flip);
  };
  flip();
  const replies = await Promise.all(
    Array.from({ length: 16 }, async (_, client) => {
      const own: Reply[] = [];
      for (let nth = 0; nth < 40; nth++) {
        own.push(
          await post(edge, `${client}-${nth}`),
          await call(`${edge.url}/api/products/${nth}`),
        );
      }
      return own;
    }),
  );
  over = true;
  const statuses = new Set(replies.flat().map((reply) => reply.status));
  expect([...statuses]).toEqual([200]);
  const writes = [...monolith.seen, ...service.seen].filter((line) => line.startsWith('POST'));
  expect(writes).toHaveLength(16 * 40);
  expect(new Set(writes).size).toBe(16 * 40);
  expect(changes).toBeGreaterThan(50);
});

test('a capability without tables takes no writes once its lease has lapsed', async () => {
  const monolith = await side('monolith');
  let valid = true;
  const edge = await edgeOf({ monolith: monolith.url, leaseValid: () => valid });
  expect(await post(edge, 'a')).toMatchObject({ status: 200 });
  valid = false;
  expect(await post(edge, 'b')).toMatchObject({ status: 503 });
  expect(await call(`${edge.url}/api/products`)).toMatchObject({ status: 200 });
  expect(monolith.seen).not.toContain('POST /api/products b');
});
