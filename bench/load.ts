// A load generator cheap enough not to be the bottleneck: raw sockets, one request in flight on
// each, answers with a Content-Length. An answer other than 200, or a lost connection, is an error:
// a contender that fails is not fast.
import { connect, type Socket } from 'node:net';

export interface Load {
  readonly url: string;
  readonly connections: number;
  readonly ms: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Sends GETs for the given time. Rejects at the first wrong answer. */
export async function generateLoad(load: Load): Promise<LoadResult> {
  const { hostname, port, pathname } = new URL(load.url);
  const request = `GET ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\naccept: application/json\r\nuser-agent: bench\r\ncookie: session=0123456789abcdef\r\n\r\n`;
  const latencies: number[] = [];
  const began = performance.now();
  const until = began + load.ms;
  await Promise.all(
    Array.from({ length: load.connections }, () =>
      keepAsking(connect(Number(port), hostname), request, until, (ms) => latencies.push(ms)),
    ),
  );
  const seconds = (performance.now() - began) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function keepAsking(
  socket: Socket,
  request: string,
  until: number,
  onAnswer: (ms: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let pending: Buffer = Buffer.alloc(0);
    let sentAt = 0;
    let over = false;
    const send = (): void => {
      sentAt = performance.now();
      socket.write(request);
    };
    socket.setNoDelay(true);
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => {
      if (!over) reject(new Error('the connection was closed'));
    });
    socket.on('data', (chunk) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      const length = answerLength(pending);
      if (length === undefined || pending.length < length) return;
      if (pending.length > length || pending.toString('latin1', 9, 12) !== '200') {
        over = true;
        socket.destroy();
        reject(new Error(`unexpected answer: ${pending.toString('latin1', 0, 200)}`));
        return;
      }
      const now = performance.now();
      onAnswer(now - sentAt);
      pending = Buffer.alloc(0);
      if (now < until) send();
      else {
        over = true;
        socket.destroy();
        resolve();
      }
    });
  });
}

/** Length of head and body; undefined while the head is not whole. */
function answerLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const match = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, end));
  if (!match) throw new Error('the answer has no Content-Length');
  return end + 4 + Number(match[1]);
}
