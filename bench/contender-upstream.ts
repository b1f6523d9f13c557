// The upstream of every contender: answers each request with the same 1 KB, with as little HTTP as it
// takes, so that it is never what is measured. Knows Content-Length and chunked requests.
import { createServer } from 'node:net';
import { announce } from './announce.ts';

const BODY = JSON.stringify({ id: 17, name: 'a product', price: '12.50', text: 'x'.repeat(960) });
const STAYS = answer('keep-alive');
const CLOSES = answer('close');
const LAST_CHUNK = '0\r\n\r\n';

announce(
  createServer({ noDelay: true }, (socket) => {
    // What has come of the request in flight; one at a time on each connection.
    let seen = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      seen = seen === '' ? chunk.toString('latin1') : seen + chunk.toString('latin1');
      if (!isWhole(seen)) return;
      if (/\r\nconnection: close\r\n/i.test(seen)) socket.end(CLOSES);
      else socket.write(STAYS);
      seen = '';
    });
  }),
);

function isWhole(request: string): boolean {
  const end = request.indexOf('\r\n\r\n');
  if (end === -1) return false;
  if (request.startsWith('GET ')) return true;
  const length = /\r\ncontent-length: *(\d+)/i.exec(request);
  if (length) return request.length >= end + 4 + Number(length[1]);
  return request.endsWith(LAST_CHUNK);
}

function answer(connection: string): Buffer {
  const head = [
    'HTTP/1.1 200 OK',
    'content-type: application/json',
    `date: ${new Date().toUTCString()}`,
    'cache-control: no-cache',
    'etag: "17"',
    `connection: ${connection}`,
    `content-length: ${BODY.length}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${BODY}`);
}
