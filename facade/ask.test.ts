import { createServer } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually, json, serve, serveBytes } from '../test/support/http.ts';
import { MISBEHAVIOURS } from '../test/support/misbehaving.ts';
import { Asker, copyOf } from './ask.ts';
import type { Asked } from './asked.ts';
import { Memory, Purse } from './memory.ts';
import { copyPool } from './copy-pool.ts';
import { openUpstreams } from './upstreams.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Rig {
  readonly memory: Memory;
  readonly asker: Asker;
  readonly spent: () => number;
  ask(method?: string): Promise<Asked>;
}

const BODY_BYTES = 50_000;
const WANTED = new Set(['content-type', 'content-encoding', 'x-a']);

function rig(url: string, memoryBytes = 200_000, timeoutMs = 5_000): Rig {
  const upstreams = openUpstreams({ monolith: url, services: {} }, (origin) =>
    copyPool(origin, {
      ...{ connections: 16, connectTimeoutMs: 10_000, idleTimeoutMs: 10_000, headBytes: 16_384 },
      onConnect: () => undefined,
      onSocket: () => undefined,
    }),
  );
  const memory = new Memory(memoryBytes);
  const purse = new Purse(memory);
  let spent = 0;
  const cpu = {
    spend: (amount: number) => {
      spent += amount;
    },
  };
  const asker = new Asker({ timeoutMs, bodyBytes: BODY_BYTES, cpu });
  open.push({ close: () => upstreams.close() });
  const headers = ['host', 'shop'];
  return {
    memory,
    asker,
    spent: () => spent,
    ask: (method = 'GET') =>
      asker.ask(upstreams.monolith, { method, target: '/a', headers }, WANTED, purse),
  };
}

test('takes the whole answer, the headers that are wanted, and what it costs', async () => {
  const server = await serve((req, res) => {
    res.setHeader('X-A', ['1', '2']);
    res.setHeader('x-b', '3');
    json({ method: req.method, host: req.headers.host })(req, res);
  }, createServer());
  open.push(server);
  const it = rig(server.url);
  const asked = await it.ask();
  if (asked.kind !== 'answer') throw new Error(asked.kind);
  const { status, headers, body } = asked.answer;
  expect([status, headers]).toEqual([200, { 'content-type': 'application/json', 'x-a': '1, 2' }]);
  expect(Buffer.from(body).toString()).toBe('{"method":"GET","host":"shop"}');
  expect(it.memory.free).toBe(200_000 - body.length);
  expect(it.spent()).toBeGreaterThan(0);
});

test('the answer to a HEAD announces what it has not', async () => {
  const server = await serve((req, res) => {
    req.resume();
    res.writeHead(200, { 'content-length': 10 * BODY_BYTES }).end();
  });
  open.push(server);
  expect(await rig(server.url).ask('HEAD')).toMatchObject({ kind: 'answer' });
  expect(await rig(server.url).ask()).toEqual({ kind: 'too-large' });
});

test('conditions, ranges and compression are not copied; the mark of a copy is set', () => {
  const headers = [
    'Range',
    'bytes=0-1',
    'if-none-match',
    '"range"',
    'A',
    'range',
    'Accept-Encoding',
    'br',
  ];
  expect(copyOf({ method: 'GET', target: '/', headers }).headers).toEqual([
    ...['A', 'range', 'accept-encoding', 'identity', 'x-banyan-shadow', '1'],
  ]);
});

test('without room for the answer there is none, and nothing stays taken', async () => {
  const server = await serve(json('x'.repeat(10_000)));
  open.push(server);
  const it = rig(server.url, 5_000);
  expect(await it.ask()).toEqual({ kind: 'no-room' });
  expect(it.memory.free).toBe(5_000);
});

test('closing ends what is asked, and nothing is asked any more', async () => {
  const server = await serve(() => undefined);
  open.push(server);
  const it = rig(server.url, 1_000, 60_000);
  const asked = it.ask();
  it.asker.close();
  expect(await asked).toEqual({ kind: 'silent', why: 'given up' });
  expect(await it.ask()).toEqual({ kind: 'silent', why: 'given up' });
});

// What becomes of each; everything else has no usable answer.
const KINDS: Record<string, string> = {
  'answers twice': 'answer',
  'announces a huge body': 'too-large',
  'sends a body without end': 'too-large',
  'sends chunks without end': 'too-large',
  'sends a gzip bomb': 'too-large',
  'redirects to itself': 'answer',
  'nests without end': 'too-large',
};

describe('an upstream that', () => {
  test.each(Object.entries(MISBEHAVIOURS))('%s gets no further', async (name, script) => {
    let closed = 0;
    const server = await serveBytes((socket) => {
      socket.on('close', () => {
        closed += 1;
      });
      script(socket);
    });
    open.push(server);
    const it = rig(server.url, 200_000, name in KINDS ? 30_000 : 300);
    const asked = await it.ask();
    expect(asked.kind).toBe(KINDS[name] ?? 'silent');
    const kept = asked.kind === 'answer' ? asked.answer.body.length : 0;
    expect(it.memory.free).toBe(200_000 - kept);
    // Only an answer that came whole leaves its connection to the next.
    if (asked.kind !== 'answer' && !name.includes('gzip'))
      await eventually('its connection to be closed', () => closed > 0);
  });
});
