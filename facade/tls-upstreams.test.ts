// Upstreams by TLS, in every way in which they are asked: the certificate is checked against where they are,
// never against the Host field, which is the client's.
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import { Asker } from './ask.ts';
import { copyPool } from './copy-pool.ts';
import { Memory, Purse } from './memory.ts';
import { openUpstreams } from './upstreams.ts';
import { call } from '../test/support/http.ts';
import { closeAll, edgeTo, open } from '../test/support/tunnels.ts';

let server: Server;
let port: number;
/** What the handshakes have asked for. */
let names: unknown[] = [];
const before = getCACertificates('default');

beforeAll(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-tls-'));
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=upstream'],
      ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'],
    ],
    { cwd: folder, stdio: 'pipe' },
  );
  const [key, cert] = await Promise.all(
    ['key.pem', 'cert.pem'].map((name) => readFile(path.join(folder, name), 'utf8')),
  );
  await rm(folder, { recursive: true });
  setDefaultCACertificates([cert ?? '']);
  server = createServer({ key: key ?? '', cert: cert ?? '' }, (req, res) => {
    names.push(Reflect.get(req.socket, 'servername'));
    res.end(`for ${req.headers.host}`);
  });
  new WebSocketServer({ server }).on('connection', (socket, req) => {
    names.push(Reflect.get(req.socket, 'servername'));
    socket.send(`for ${req.headers.host}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '::', resolve));
  ({ port } = server.address() as AddressInfo);
});

afterEach(async () => {
  names = [];
  await closeAll();
});

afterAll(() => {
  setDefaultCACertificates(before);
  server.closeAllConnections();
  server.close();
});

const HOSTS = [
  ['localhost', 'localhost'],
  ['127.0.0.1', false],
  ['[::1]', false],
] as const;

test.each(HOSTS)('requests and upgrades to %s', async (host, name) => {
  const edge = await edgeTo({ monolith: `https://${host}:${port}` });
  const headers = { host: 'shop.example' };
  expect(await call(`${edge.url}/a`, { headers })).toMatchObject({ body: 'for shop.example' });
  const ws = new WebSocket(`${edge.url}/live`, { headers });
  const message = await new Promise<string>((resolve, reject) => {
    ws.on('message', (data: Buffer) => {
      resolve(data.toString());
    });
    ws.on('error', reject);
  });
  ws.terminate();
  expect(message).toBe('for shop.example');
  expect(names).toEqual([name, name]);
});

test.each(HOSTS)('shadow copies to %s, over one connection for all clients', async (host, name) => {
  let connections = 0;
  const upstreams = openUpstreams({ monolith: `https://${host}:${port}`, services: {} }, (origin) =>
    copyPool(origin, {
      ...{ connections: 1, connectTimeoutMs: 10_000, idleTimeoutMs: 10_000, headBytes: 16_384 },
      onConnect: () => (connections += 1),
      onSocket: () => undefined,
    }),
  );
  open.push({ close: () => upstreams.close() });
  const asker = new Asker({
    ...{ timeoutMs: 5_000, bodyBytes: 1_000 },
    cpu: { spend: () => undefined },
  });
  const purse = new Purse(new Memory(100_000));
  for (const host of ['one.example', 'two.example']) {
    const question = { method: 'GET', target: '/', headers: ['host', host] };
    const asked = await asker.ask(upstreams.monolith, question, new Set(), purse);
    expect(asked.kind === 'answer' && asked.answer.body.toString()).toBe(`for ${host}`);
  }
  expect([names, connections]).toEqual([[name, name], 1]);
});
