// The requests of the benchmarks, as bytes.

/** `chunked` and `length` are a POST of 1 KB, framed one way or the other. */
export type Shape = 'GET' | 'chunked' | 'length';

const BODY = JSON.stringify({ name: 'a product', text: 'x'.repeat(990) });

/** The request of the `nth` connection: each is a client, with a cohort, of its own. */
export function requestBytes(url: URL, shape: Shape, nth: number): Buffer {
  const head = [
    `${shape === 'GET' ? 'GET' : 'POST'} ${url.pathname} HTTP/1.1`,
    `host: ${url.host}`,
    'accept: application/json',
    'user-agent: bench',
    `cookie: session=0123456789abcdef; banyan_cohort=client-${nth}`,
  ];
  if (shape === 'GET') return Buffer.from(`${head.join('\r\n')}\r\n\r\n`);
  head.push('content-type: application/json');
  if (shape === 'length')
    return Buffer.from(`${head.join('\r\n')}\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`);
  const size = BODY.length.toString(16);
  return Buffer.from(
    `${head.join('\r\n')}\r\ntransfer-encoding: chunked\r\n\r\n${size}\r\n${BODY}\r\n0\r\n\r\n`,
  );
}
