import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { eventually, json, serve, serveBytes } from '../test/support/http.ts';
import { MISBEHAVIOURS } from '../test/support/misbehaving.ts';
import { Asker } from './ask.ts';
import type { Asked } from './asked.ts';
import { Memory, Purse } from './memory.ts';
import { meterSocket } from './metered-socket.ts';
import { copyPool } from './copy-pool.ts';
import { openUpstreams } from './upstreams.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const MOST = 200_000;

function asking(url: string): {
  spent: () => number;
  broughtIn: () => number;
  ask: () => Promise<Asked>;
} {
  let spent = 0;
  let broughtIn = 0;
  const bytes = {
    spend: (count: number) => {
      broughtIn += count;
    },
  };
  const cpu = {
    spend: (ms: number) => {
      spent += ms;
    },
  };
  const upstreams = openUpstreams({ monolith: url, services: {} }, (origin) =>
    copyPool(origin, {
      ...{ connections: 4, connectTimeoutMs: 10_000, idleTimeoutMs: 10_000, headBytes: 16_384 },
      onConnect: () => undefined,
      onSocket: (socket) => {
        meterSocket(socket, { cpu, bytes }, MOST);
      },
    }),
  );
  open.push({ close: () => upstreams.close() });
  const asker = new Asker({
    timeoutMs: 30_000,
    bodyBytes: 150_000,
    cpu: { spend: () => undefined },
  });
  const question = { method: 'GET', target: '/', headers: [] };
  const purse = new Purse(new Memory(1e9));
  return {
    spent: () => spent,
    broughtIn: () => broughtIn,
    ask: () => asker.ask(upstreams.monolith, question, new Set(), purse),
  };
}

test.each(['sends a chunk extension without end', 'sends trailers without end'])(
  'an upstream that %s is cut off long before the deadline',
  async (name) => {
    const script = MISBEHAVIOURS[name];
    if (!script) throw new Error('no such script');
    const server = await serveBytes(script);
    open.push(server);
    const it = asking(server.url);
    const asked = await it.ask();
    expect(asked.kind).toBe('silent');
    expect(asked).not.toMatchObject({ why: 'no answer in time' });
    expect(it.spent()).toBeGreaterThan(0);
  },
);

test('the limit is for one answer, not for a connection, and pieces make up the whole', async () => {
  const text = 'x'.repeat(100_000);
  const server = await serve(json(text), createServer());
  let connections = 0;
  server.server.on('connection', () => {
    connections += 1;
  });
  open.push(server);
  const it = asking(server.url);
  for (let nth = 0; nth < 8; nth++) {
    const asked = await it.ask();
    if (asked.kind !== 'answer') throw new Error(asked.kind);
    expect(Buffer.from(asked.answer.body).toString()).toBe(JSON.stringify(text));
  }
  expect(connections).toBeLessThan(3);
  expect(it.broughtIn()).toBeGreaterThan(800_000);
  expect(it.broughtIn()).toBeLessThan(810_000);
});

test('bytes count that nobody has read when the answer is given up', async () => {
  const server = await serve((_req, res) => {
    res.setHeader('content-length', 1_000_000);
    res.end('x'.repeat(1_000_000));
  }, createServer());
  open.push(server);
  const it = asking(server.url);
  // It is too large by its head alone.
  expect((await it.ask()).kind).toBe('too-large');
  await eventually('the connection to end', () => it.broughtIn() > 10_000);
});
