import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { eventually, serve, wire } from '../test/support/http.ts';
import { Answer } from './answer.ts';

test('a client that has taken all that was read while it was slow is not given up later', async () => {
  // Takes nothing until it drains.
  const res = Object.assign(new EventEmitter(), { write: () => false });
  let stalls = 0;
  let resumed = 0;
  const answer = new Answer(res as unknown as ServerResponse, 30, () => {
    stalls += 1;
  });
  const source = { resume: () => (resumed += 1) };
  for (const piece of ['one', 'two', 'three'])
    expect(answer.data(Buffer.from(piece), source)).toBe(false);
  res.emit('drain');
  await sleep(60);
  expect([stalls, resumed, answer.bytes]).toEqual([0, 1, 11]);
  answer.data(Buffer.from('four'), source);
  await sleep(60);
  expect(stalls).toBe(1);
});

test('a client that takes nothing of the rest of an answer is given up, though it has ended', async () => {
  const size = 64 * 1024 * 1024;
  let closed = false;
  const server = await serve((req, res) => {
    req.socket.on('close', () => {
      closed = true;
    });
    const answer = new Answer(res, 100, () => undefined);
    answer.begin(200, 'OK', ['Content-Length', String(size)], size);
    answer.data(Buffer.alloc(size), { resume: () => undefined });
    answer.close();
    answer.end([]);
  });
  const client = await wire(server.port);
  client.socket.pause();
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually('its connection to be closed', () => closed);
  client.socket.destroy();
  await server.close();
});

test('one that takes it all keeps its connection', async () => {
  const size = 4 * 1024 * 1024;
  const server = await serve((req, res) => {
    req.resume();
    const answer = new Answer(res, 50, () => undefined);
    answer.begin(200, 'OK', ['Content-Length', String(size)], size);
    answer.data(Buffer.alloc(size, 'x'), { resume: () => undefined });
    answer.close();
    answer.end([]);
  });
  // Nor does Node end it.
  server.server.keepAliveTimeout = 0;
  const client = await wire(server.port);
  for (let answers = 1; answers <= 2; answers++) {
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually('the answer', () => client.received().length >= answers * size);
    await sleep(200);
    expect(client.socket.closed).toBe(false);
  }
  client.socket.destroy();
  await server.close();
});
