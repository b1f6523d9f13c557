// What an answer's fields say are bytes, in whatever encoding: they arrive as they were sent, wherever the body is.
import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import express from 'express';
import { serveEdge } from '../test/support/edge.ts';
import { serve, serveBytes, wire } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** Answers each request with these bytes, the second half a while after the first. */
async function upstream(first: string, later: string): Promise<string> {
  const server = await serveBytes((socket) => {
    socket.once('data', () => {
      socket.write(first, 'latin1');
      if (later === '') socket.end();
      else setTimeout(() => socket.end(later, 'latin1'), 100);
    });
  });
  open.push(server);
  return server.url;
}

const UTF_8 = Buffer.from('"č-ü-€.txt"').toString('latin1');
const LATIN_1 = '"\u00fc.txt"';

const FIELDS = [UTF_8, LATIN_1].flatMap((name) => [
  `Content-Length: 2\r\nContent-Disposition: attachment; filename=${name}\r\nLocation: /${name}\r\n`,
  `Content-Disposition: attachment; filename=${name}\r\nContent-Length: 2\r\nSet-Cookie: a=${name}\r\n`,
]);

async function answered(edge: { port: number }, method = 'GET'): Promise<string> {
  const client = await wire(edge.port);
  client.send(`${method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  return client.untilClosed();
}

test.each(FIELDS.flatMap((fields) => ['at once', 'later'].map((when) => [when, fields] as const)))(
  'fields with bytes beyond ASCII cross as they are, the body coming %s: %j',
  async (when, fields) => {
    const head = `HTTP/1.1 200 Fine \u00fc\r\n${fields}\r\n`;
    const url = when === 'later' ? await upstream(head, 'ok') : await upstream(`${head}ok`, '');
    const edge = await serveEdge({ monolith: url });
    open.push(edge);
    const text = await answered(edge);
    expect(text).toContain('HTTP/1.1 200 Fine \u00fc\r\n');
    for (const field of fields.split('\r\n')) expect(text).toContain(field);
    expect(text.endsWith('\r\n\r\nok')).toBe(true);
  },
);

test('so do those of an answer without a body', async () => {
  const [fields = ''] = FIELDS;
  const edge = await serveEdge({
    monolith: await upstream(`HTTP/1.1 200 OK\r\n${fields}\r\n`, ''),
  });
  open.push(edge);
  expect(await answered(edge, 'HEAD')).toContain(fields);
});

test('a name that another encoding would read as the end of a line is none in an application either', async () => {
  const [fields = ''] = FIELDS;
  const edge = await serveEdge({
    monolith: await upstream(`HTTP/1.1 200 OK\r\n${fields}\r\nok`, ''),
  });
  open.push(edge);
  const app = express();
  app.use((req, res) => {
    edge.edge.handle(req, res);
  });
  const server = await serve(() => undefined, createServer(app));
  open.push(server);
  expect(await answered(server)).toContain(fields);
});
