// The requests of the benchmarks, as bytes.

/** A POST of 1 KB is framed one way or the other; its body comes with its head, or after it. */
export type Shape = 'GET' | 'chunked' | 'length' | 'chunked later' | 'length later';

const BODY = JSON.stringify({ name: 'a product', text: 'x'.repeat(990) });

/** The request of the `nth` connection, in the pieces in which it is sent: each is a client, with a cohort, of its own. */
export function requestPieces(url: URL, shape: Shape, nth: number): readonly Buffer[] {
  const head = [
    `${shape === 'GET' ? 'GET' : 'POST'} ${url.pathname} HTTP/1.1`,
    `host: ${url.host}`,
    'accept: application/json',
    'user-agent: bench',
    `cookie: session=0123456789abcdef; banyan_cohort=client-${nth}`,
  ];
  if (shape === 'GET') return [Buffer.from(`${head.join('\r\n')}\r\n\r\n`)];
  head.push('content-type: application/json');
  const chunked = shape.startsWith('chunked');
  head.push(chunked ? 'transfer-encoding: chunked' : `content-length: ${BODY.length}`);
  const pieces = [
    `${head.join('\r\n')}\r\n\r\n`,
    chunked ? `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n` : BODY,
  ];
  return (shape.endsWith('later') ? pieces : [pieces.join('')]).map((piece) => Buffer.from(piece));
}
