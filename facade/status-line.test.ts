import { createServer, type ServerResponse } from 'node:http';
import { expect, test } from '@jest/globals';
import { serve, wire } from '../test/support/http.ts';
import { passInterim } from './status-line.ts';

/** Of a Node that cannot write just any interim answer. */
function older(res: ServerResponse): ServerResponse {
  return new Proxy(res, {
    has: (target, name) => name !== 'writeInformation' && name in target,
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

test.each([
  ['', (res: ServerResponse) => res],
  [' by an older Node', older],
])('early hints pass%s', async (_, given) => {
  const server = await serve((_req, res) => {
    passInterim(given(res), 103, ['Link', '</a.css>; rel=preload', 'Link', '</b.js>; rel=preload']);
    res.end('done');
    passInterim(given(res), 103, ['Link', '</late.css>; rel=preload']);
  }, createServer());
  const client = await wire(server.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [hints = '', rest = ''] = (await client.until(/done/)).split('\r\n\r\n', 2);
  expect(hints).toMatch(/^HTTP\/1\.1 103 Early Hints/);
  expect(hints).toContain('</a.css>; rel=preload');
  expect(hints).toContain('</b.js>; rel=preload');
  expect(rest).toMatch(/^HTTP\/1\.1 200 /);
  client.socket.destroy();
  await server.close();
});

test('an older Node leaves out what it cannot write', async () => {
  const server = await serve((_req, res) => {
    passInterim(older(res), 102, []);
    passInterim(older(res), 103, ['Link', 'nonsense']);
    passInterim(older(res), 103, ['X-Thing', '1']);
    res.end('done');
  }, createServer());
  const client = await wire(server.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  expect(await client.until(/done/)).toMatch(/^HTTP\/1\.1 200 /);
  client.socket.destroy();
  await server.close();
});
