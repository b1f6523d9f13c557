// Whose answer is whose, and what becomes of connections.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { eventually, serveBytes } from '../test/support/http.ts';
import { closeRigs, closing, done, OK, poolTo, rig } from '../test/support/pool.ts';
import { ConnectTimeout } from './pool.ts';

afterEach(closeRigs);

const hasV6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

describe('connections', () => {
  test('are used again, and no more are opened than may be: the others wait in their order', async () => {
    const { send, sockets, arrived } = await rig();
    const all = ['/1', '/2', '/3', '/4', '/5'].map((target) => send(target));
    expect(all.map(({ connected }) => connected)).toEqual(Array(5).fill(false));
    await done(...all);
    expect(all.map(({ body, error }) => [body, error])).toEqual(Array(5).fill(['ok', undefined]));
    expect(sockets).toHaveLength(2);
    expect(arrived.slice(2)).toEqual(['/3', '/4', '/5']);
    await done(send('/6'));
    expect(sockets).toHaveLength(2);
  });

  test('that cannot be had fail the one that has waited longest, each', async () => {
    const { send } = poolTo('http://127.0.0.1:1');
    const all = ['/1', '/2', '/3'].map((target) => send(target));
    await done(...all);
    for (const { error, connected } of all)
      expect([(error as NodeJS.ErrnoException).code, connected]).toEqual(['ECONNREFUSED', false]);
  });

  (hasV6 ? test : test.skip)('go to an address of IPv6, and are named like it', async () => {
    const heads: string[] = [];
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        heads.push(bytes.toString());
        socket.end(OK);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
    closing({
      close: () =>
        new Promise((resolve) =>
          server.close(() => {
            resolve();
          }),
        ),
    });
    const origin = `[::1]:${(server.address() as AddressInfo).port}`;
    const told = poolTo(`http://${origin}`).send('/');
    await done(told);
    expect([told.body, told.error]).toEqual(['ok', undefined]);
    expect(heads).toEqual([`GET / HTTP/1.1\r\nhost: ${origin}\r\n\r\n`]);
  });

  test('that take too long are given up', async () => {
    // A handshake that nobody answers.
    const server = await serveBytes(() => undefined);
    closing(server);
    const { send } = poolTo(server.url.replace('http:', 'https:'), { connectTimeoutMs: 50 });
    const told = send('/');
    await done(told);
    expect(told.error).toBeInstanceOf(ConnectTimeout);
  });

  test('are not kept for longer than the upstream says', async () => {
    const { send, sockets } = await rig(
      () => 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok',
    );
    await done(send('/1'));
    await done(send('/2'));
    expect(sockets).toHaveLength(2);
  });

  test('are kept for as long as we say, where the upstream says nothing', async () => {
    const { send, sockets } = await rig(undefined, { keepAliveMs: 30 });
    await done(send('/1'));
    await sleep(60);
    await done(send('/2'));
    expect(sockets).toHaveLength(2);
  });

  test.each([
    ['close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['were HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ])('that %s with their answer are not used again', async (_, answer) => {
    const { send, sockets } = await rig(() => answer);
    for (const target of ['/1', '/2']) {
      const told = send(target);
      await done(told);
      expect(told.body).toBe('ok');
    }
    expect(sockets).toHaveLength(2);
  });

  test('closed by the upstream between two requests cost nothing', async () => {
    const { send, sockets, pool } = await rig();
    await done(send('/1'));
    sockets[0]?.end();
    await eventually('it to be closed', () => sockets[0]?.destroyed === true);
    const told = send('/2');
    await done(told);
    expect([told.body, sockets.length]).toEqual(['ok', 2]);
    pool.close();
  });
});

describe('nobody gets what was said to another', () => {
  const STOLEN = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen';

  test.each([
    ['behind an answer', OK + STOLEN],
    ['behind 204', `HTTP/1.1 204 x\r\n\r\n${STOLEN}`],
    ['behind 304 with a length', `HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\n${STOLEN}`],
    [
      'behind chunks',
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${STOLEN}`,
    ],
    [
      'as a body that HEAD must not have',
      `HTTP/1.1 200 OK\r\nContent-Length: ${STOLEN.length}\r\n\r\n${STOLEN}`,
    ],
  ])('%s', async (name, answer) => {
    const { send, sockets } = await rig((target) => (target === '/1' ? answer : OK), {
      connections: 1,
    });
    const method = name.includes('HEAD') ? 'HEAD' : 'GET';
    const [first, second] = [send('/1', { method }), send('/2')];
    await done(first, second);
    expect(first.body).not.toContain('stolen');
    expect([second.body, sockets.length]).toEqual(['ok', 2]);
  });

  test.each([1, 2])('at the end of what is read at once, %d times over', async (times) => {
    // The first answer ends with the buffer that connections are read by, and the stray bytes come next.
    const head = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;
    const size = times * 65_536;
    const length = size - head(size).length;
    const { send, sockets } = await rig(
      (target) => (target === '/1' ? head(length) + 'x'.repeat(length) + STOLEN : OK),
      { connections: 1 },
    );
    for (let round = 0; round < 10; round++) {
      const [first, second] = [send('/1'), send('/2')];
      await done(first, second);
      expect([first.body.length, second.body]).toEqual([length, 'ok']);
    }
    expect(sockets.length).toBeGreaterThan(10);
  });

  test('and nobody is sent to a connection that ends with the answer before', async () => {
    const { send, sockets } = await rig((_target, socket) => {
      socket.end(OK);
      return undefined;
    });
    const all = Array.from({ length: 40 }, (_, nth) => send(`/${nth}`, { method: 'POST' }));
    await done(...all);
    expect(all.map(({ body, error }) => [body, error])).toEqual(Array(40).fill(['ok', undefined]));
    expect(sockets).toHaveLength(40);
  });

  test('while nothing is asked', async () => {
    const { send, sockets } = await rig();
    await done(send('/1'));
    sockets[0]?.write(STOLEN);
    await eventually('it to be closed', () => sockets[0]?.destroyed === true);
    const told = send('/2');
    await done(told);
    expect([told.body, sockets.length]).toEqual(['ok', 2]);
  });

  test('after it was given up', async () => {
    const { send, sockets, arrived } = await rig((target) => (target === '/1' ? undefined : OK), {
      connections: 1,
    });
    const [first, second] = [send('/1'), send('/2')];
    await eventually('it to arrive', () => arrived.length === 1);
    first.sending?.giveUp();
    await done(second);
    expect(first.over).toBe(false);
    expect([second.body, sockets.length]).toEqual(['ok', 2]);
    await eventually('the first to be cancelled', () => sockets[0]?.destroyed === true);
    // It has no say any more over what others use by now.
    second.sending?.giveUp();
    const third = send('/3');
    second.sending?.giveUp();
    second.sending?.resume();
    await done(third);
    expect([third.body, sockets.length]).toEqual(['ok', 2]);
  });

  test('before its turn: what is given up in the queue is never sent', async () => {
    const waiting: Socket[] = [];
    const { send, arrived } = await rig(
      (target, socket) => {
        if (target !== '/1') return OK;
        waiting.push(socket);
        return undefined;
      },
      { connections: 1 },
    );
    const [first, second, third] = [send('/1'), send('/2'), send('/3')];
    await eventually('it to arrive', () => waiting.length === 1);
    second.sending?.giveUp();
    waiting[0]?.write(OK);
    await done(first, third);
    expect([second.connected, second.over, arrived]).toEqual([false, false, ['/1', '/3']]);
  });
});

test('all that is under way or waits fails when the pool is closed', async () => {
  const { send, pool, arrived } = await rig(() => undefined, { connections: 1 });
  const all = [send('/1'), send('/2')];
  await eventually('it to arrive', () => arrived.length === 1);
  pool.close();
  const closed = 'the connections to the upstream are closed';
  expect(all.map(({ error }) => error?.message)).toEqual([closed, closed]);
  expect(() => send('/3')).toThrow(closed);
});
