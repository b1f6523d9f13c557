import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { generateLoad, type LoadResult } from './load.ts';

async function loadOn(listener: RequestListener): Promise<LoadResult> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  try {
    return await generateLoad({ url: `http://127.0.0.1:${port}/x`, connections: 4, ms: 400 });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('counts whole answers, each once', async () => {
  let served = 0;
  const result = await loadOn((_req, res) => {
    served += 1;
    // In two pieces, so that an answer is not taken for whole too early.
    res.writeHead(200, { 'content-length': 10 });
    res.write('12345');
    setImmediate(() => res.end('67890'));
  });
  // Those that are under way at the end do not count.
  expect(result.answers).toBeGreaterThanOrEqual(4);
  expect(result.answers).toBeLessThanOrEqual(served);
  expect(result.answers).toBeGreaterThanOrEqual(served - 4);
  expect(result.p99Ms).toBeGreaterThanOrEqual(result.p50Ms);
});

test('an answer other than 200 ends it with an error', async () => {
  await expect(
    loadOn((_req, res) => {
      res.writeHead(503, { 'content-length': 0 });
      res.end();
    }),
  ).rejects.toThrow('unexpected answer: HTTP/1.1 503');
});

test('a lost connection ends it with an error', async () => {
  await expect(loadOn((req) => req.socket.destroy())).rejects.toThrow('the connection was closed');
});
