// Event streams at a switch: their clients come again, on the path that everything else takes by then.
import { createServer, get, type IncomingMessage } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';
import { eventually, serve } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Reading {
  text: string;
  /** How it has ended, once it has. */
  ended: 'whole' | 'broken' | undefined;
  readonly answer: IncomingMessage;
}

/** Each side streams its name, or sends half a file of this type; and counts who is still there. */
async function scene(type = 'text/event-stream'): Promise<{
  readonly edge: TestEdge;
  readonly there: { monolith: number; service: number };
  readonly read: (path?: string) => Promise<Reading>;
}> {
  const there = { monolith: 0, service: 0 };
  const side = (name: 'monolith' | 'service') =>
    serve((_req, res) => {
      there[name] += 1;
      res.on('close', () => (there[name] -= 1));
      res.writeHead(200, { 'content-type': type });
      res.write(`data: ${name}\n\n`);
    }, createServer());
  const [monolith, service] = [await side('monolith'), await side('service')];
  const edge = await serveEdge({
    ...{ monolith: monolith.url, service: service.url },
    facade: { upgrades: { drainMs: 100 } },
  });
  open.push(monolith, service, edge);
  const read = (path = '/api/products/1'): Promise<Reading> =>
    new Promise((resolve, reject) => {
      get(edge.url + path, { agent: false }, (answer) => {
        const reading: Reading = { text: '', ended: undefined, answer };
        answer.setEncoding('utf8').on('data', (piece: string) => (reading.text += piece));
        answer.on('end', () => (reading.ended = 'whole'));
        answer.on('error', () => (reading.ended ??= 'broken'));
        resolve(reading);
      }).on('error', reject);
    });
  return { edge, there, read };
}

test('one on the old path ends as if it were whole, and comes again on the new one', async () => {
  const { edge, there, read } = await scene();
  const first = await read();
  await eventually('the first event', () => first.text === 'data: monolith\n\n');
  edge.set({ phase: 'sync' });
  await sleep(150);
  expect(first.ended).toBeUndefined();
  edge.set({ phase: 'cutover' });
  await eventually('its end', () => first.ended !== undefined);
  expect(first.ended).toBe('whole');
  await eventually('the monolith to be told', () => there.monolith === 0);
  const second = await read();
  await eventually('the first event', () => second.text === 'data: service\n\n');
  edge.set({ phase: 'monolith' });
  await eventually('its end', () => second.ended !== undefined);
  await eventually('the service to be told', () => there.service === 0);
  await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
});

test('one whose path is right again by then stays', async () => {
  const { edge, read } = await scene();
  const stream = await read();
  edge.set({ phase: 'cutover' });
  edge.set({ phase: 'canary', weight: 0 });
  await sleep(200);
  expect(stream.ended).toBeUndefined();
  stream.answer.destroy();
});

test('the cohort that a client was given decides of its stream too', async () => {
  const { edge, read } = await scene();
  edge.set({ phase: 'canary', weight: 50 });
  const streams = await Promise.all(Array.from({ length: 30 }, () => read()));
  await eventually('the first events', () => streams.every(({ text }) => text !== ''));
  edge.set({ weight: 50 });
  await sleep(200);
  expect(streams.filter(({ ended }) => ended !== undefined)).toEqual([]);
  for (const { answer } of streams) answer.destroy();
});

test('another long answer goes on to its end', async () => {
  const { edge, read } = await scene('application/octet-stream');
  const file = await read();
  edge.set({ phase: 'cutover' });
  await sleep(200);
  expect(file.ended).toBeUndefined();
  file.answer.destroy();
});

test('an edge that ends lets all of them go, also what no capability claims', async () => {
  const { edge, read } = await scene();
  const streams = [await read(), await read('/elsewhere')];
  edge.edge.drain();
  await eventually('their ends', () => streams.every(({ ended }) => ended === 'whole'));
  await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
});
