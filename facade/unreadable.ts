// What Node's parser does not read, and what does not come in time: Node tells the server of it by
// `clientError` and would answer by itself, seen by nobody. The same statuses, as a problem that is counted.
import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { closeGently } from './raw-socket.ts';

type Status = 400 | 408 | 413 | 431;

const STATUSES: Readonly<Record<string, Status>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

const DETAILS: Readonly<Record<Status, string>> = {
  400: 'It is no request that can be read in one way only.',
  408: 'Its head did not come in time.',
  413: 'The extensions of its chunks are too large.',
  431: 'Its header fields are larger than 64 KB.',
};

/** For a server's `clientError`: answers where nothing else is being answered, and ends the connection. */
export function answerUnreadable(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  refused: (status: Status) => void,
): void {
  const { code = '' } = error;
  const status = STATUSES[code] ?? (code.startsWith('HPE_') ? 400 : undefined);
  // What Node has yet to answer on this connection.
  const { _httpMessage: due } = socket as { _httpMessage?: ServerResponse };
  // A connection that has broken gets no answer, and neither does one in the middle of another.
  if (status === undefined || !socket.writable || due?.headersSent === true) {
    socket.destroy(error);
    return;
  }
  socket.write(text(status));
  if (due) {
    // Its own end counts the request.
    socket.destroy(error);
    return;
  }
  closeGently(socket);
  refused(status);
}

function text(status: Status): string {
  const title = STATUS_CODES[status] ?? '';
  const body = JSON.stringify({ type: 'about:blank', title, status, detail: DETAILS[status] });
  return [
    `HTTP/1.1 ${status} ${title}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
