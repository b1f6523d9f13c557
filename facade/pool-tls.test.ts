// Upstreams by TLS.
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, expect, test } from '@jest/globals';
import { closeRigs, closing, done, OK, poolTo } from '../test/support/pool.ts';

afterEach(closeRigs);

test('a certificate for the host is wanted, a session is used again, and a failed handshake fails one request', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-tls-'));
  const before = getCACertificates('default');
  try {
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
        ...['-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2', '-subj', '/CN=localhost'],
        ...['-addext', 'subjectAltName=DNS:localhost'],
      ],
      { cwd: folder, stdio: 'pipe' },
    );
    const [key, cert] = await Promise.all(
      ['key.pem', 'cert.pem'].map((name) => readFile(path.join(folder, name), 'utf8')),
    );
    const names: unknown[] = [];
    const reused: boolean[] = [];
    const server = createServer({ key: key ?? '', cert: cert ?? '' }, (socket) => {
      names.push(socket.servername);
      reused.push(socket.isSessionReused());
      socket.on('data', () =>
        socket.write(OK.replace('200 OK\r\n', '200 OK\r\nConnection: close\r\n')),
      );
      socket.on('error', () => undefined);
    });
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing({
      close: () =>
        new Promise((resolve) =>
          server.close(() => {
            resolve();
          }),
        ),
    });
    const { port } = server.address() as { port: number };

    const stranger = poolTo(`https://localhost:${port}`).send('/');
    await done(stranger);
    expect((stranger.error as NodeJS.ErrnoException).code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    setDefaultCACertificates([cert ?? '']);
    const { send } = poolTo(`https://localhost:${port}`);
    for (const target of ['/1', '/2']) {
      const told = send(target);
      await done(told);
      expect([told.body, told.error]).toEqual(['ok', undefined]);
    }
    expect([names.slice(-2), reused.slice(-2)]).toEqual([
      ['localhost', 'localhost'],
      [false, true],
    ]);
    // A handshake that fails is the trouble of one: the next has a connection of its own.
    server.once('connection', (socket: Socket) => socket.destroy());
    const few = poolTo(`https://localhost:${port}`, { connections: 1 });
    const [unlucky, next] = [few.send('/1'), few.send('/2')];
    await done(unlucky, next);
    expect([unlucky.connected, unlucky.error?.message]).toEqual([false, expect.any(String)]);
    expect([next.body, next.error]).toEqual(['ok', undefined]);
    const byAddress = poolTo(`https://127.0.0.1:${port}`).send('/');
    await done(byAddress);
    expect((byAddress.error as NodeJS.ErrnoException).code).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  } finally {
    setDefaultCACertificates(before);
    await rm(folder, { recursive: true, force: true });
  }
});
