// Bodies on their way, of requests and of answers: at whose pace, and how they end.
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually, serveBytes } from '../test/support/http.ts';
import { closeRigs, closing, done, OK, poolTo, rig } from '../test/support/pool.ts';
import { readRequest } from '../test/support/recorder.ts';

afterEach(closeRigs);

describe('a body', () => {
  test('of a stream goes in chunks, or by the length that is said', async () => {
    const bodies: string[] = [];
    const server = await serveBytes((socket) => {
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
        const next = readRequest(text);
        if (!next) return;
        text = text.slice(next.length);
        bodies.push(next.request.body);
        socket.write(OK);
      });
    });
    closing(server);
    const { send } = poolTo(server.url);
    const body = 'x'.repeat(100_000);
    const told = [[], ['Content-Length', '100000']].map((headers) =>
      send('/', {
        ...{ method: 'POST', headers },
        body: Readable.from([Buffer.from(body.slice(1)), Buffer.from('x')]),
      }),
    );
    await done(...told);
    expect(told.map((one) => one.error)).toEqual([undefined, undefined]);
    expect(bodies.map((one) => one === body)).toEqual([true, true]);
  });

  test.each(['longer', 'shorter'])(
    'that is %s than it says fails, and ends its connection',
    async (how) => {
      const { send, sockets } = await rig(() => undefined);
      const length = how === 'longer' ? '3' : '5';
      const told = send('/', {
        ...{ method: 'POST', headers: ['Content-Length', length] },
        body: Readable.from([Buffer.from('four')]),
      });
      await done(told);
      expect(told.error?.message).toContain(how);
      await eventually('it to be closed', () => sockets[0]?.destroyed === true);
    },
  );

  test('that was answered before its end is let go, with its connection', async () => {
    const sockets: Socket[] = [];
    const server = await serveBytes((socket) => {
      sockets.push(socket);
      socket.once('data', () => socket.write(OK));
    });
    closing(server);
    const { send } = poolTo(server.url);
    const body = new Readable({ read: () => undefined });
    body.push('some');
    const told = send('/', { method: 'POST', body });
    await done(told);
    expect([told.body, body.destroyed]).toEqual(['ok', true]);
    await eventually('it to be closed', () => sockets[0]?.destroyed === true);
  });

  test.each([false, true])(
    'that breaks off fails its request (once it is sent: %s)',
    async (sent) => {
      const { send } = await rig(() => undefined);
      const body = new Readable({ read: () => undefined }).on('error', () => undefined);
      const told = send('/', { method: 'POST', body });
      if (sent) await eventually('a connection', () => told.connected);
      body.destroy(sent ? new Error('the client went away') : undefined);
      await done(told);
      expect(told.error?.message).toBe(sent ? 'the client went away' : 'the body broke off');
    },
  );

  test('of an answer comes no faster than it is taken', async () => {
    const size = 8_000_000;
    let written = 0;
    const { send } = await rig((_target, socket) => {
      const more = (): void => {
        while (written < size) {
          written += 100_000;
          if (!socket.write('x'.repeat(100_000))) return;
        }
      };
      socket.on('drain', more).write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      more();
      return undefined;
    });
    const first = send('/');
    first.slow = true;
    await eventually('some of it', () => first.body !== '');
    const before = first.body.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(first.body.length).toBe(before);
    first.slow = false;
    first.sending?.resume();
    await done(first);
    expect(first.body).toHaveLength(size);
  });

  test('of an answer that falls silent is given up, but not while nobody takes it', async () => {
    const { send } = await rig(() => 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', {
      idleTimeoutMs: 300,
    });
    const [first, second] = [send('/1'), send('/2')];
    second.slow = true;
    await done(first);
    expect(first.error?.message).toContain('fell silent');
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect([second.body, second.over]).toEqual(['half', false]);
    second.slow = false;
    second.sending?.resume();
    await done(second);
    expect(second.error?.message).toContain('fell silent');
  });
});
