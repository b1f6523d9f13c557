// A fault to be found: a proxy before the service whose prices are a cent too high.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';

export async function startWrongPrice(
  serviceUrl: string,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      forward(
        serviceUrl,
        incoming.method ?? 'GET',
        incoming.url ?? '/',
        Buffer.concat(chunks),
      ).then(
        ({ status, body }) => {
          outgoing.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
          outgoing.end(body);
        },
        () => {
          outgoing.destroy();
        },
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function forward(
  base: string,
  method: string,
  path: string,
  body: Buffer,
): Promise<{ status: number; body: string }> {
  const answer = await request(base + path, {
    method: method as 'GET',
    ...(body.length > 0 && { body, headers: { 'content-type': 'application/json' } }),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, body: text.replace(/"price":"(\d+)\.(\d\d)"/g, aCentMore) };
}

function aCentMore(_match: string, whole: string, fraction: string): string {
  const cents = (BigInt(whole + fraction) + 1n).toString().padStart(3, '0');
  return `"price":"${cents.slice(0, -2)}.${cents.slice(-2)}"`;
}
