// The end of a connection that still brings bytes: a refused request with its body, an upload that was
// answered before it was through. Closing it at once would make the kernel send a reset, and that can
// take the answer away from a client that has not read it yet. So only our half is closed, and what
// comes is read and thrown away for a while (RFC 9112 §9.6). Nothing of it is served; but Node keeps
// each further request until the connection has closed, so only a few of them are borne with.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** On a socket whose last answer is on its way: how many requests have come behind it. */
const IGNORED = Symbol('ignored');

interface Marked extends Socket {
  [IGNORED]?: number;
}

/** More is no client that has not noticed yet. */
const MOST_IGNORED = 64;

/** For a client to notice that it was answered. */
const LINGER_MS = 10_000;

/** Ends the connection gently when the answer that goes out, with `Connection: close`, is through. */
export function closeAfter(req: IncomingMessage): void {
  const socket: Marked = req.socket;
  if (socket[IGNORED] !== undefined) return;
  socket[IGNORED] = 0;
  // Node calls this when the last answer of a connection has been written.
  socket.destroySoon = () => {
    linger(socket);
  };
}

/** Whether a request came behind the last answer of its connection, and is to be left alone. */
export function isIgnored(req: IncomingMessage): boolean {
  const socket: Marked = req.socket;
  if (socket[IGNORED] === undefined) return false;
  socket[IGNORED] += 1;
  if (socket[IGNORED] > MOST_IGNORED) socket.destroy();
  return true;
}

function linger(socket: Socket): void {
  const limit = setTimeout(() => {
    socket.destroy();
  }, LINGER_MS);
  // When the client has closed its half as well, the socket closes by itself.
  socket.once('close', () => {
    clearTimeout(limit);
  });
  socket.end();
  socket.resume();
}
