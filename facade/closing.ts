// The end of a connection that still brings bytes: a refused request with its body, an upload that was
// answered before it was through. Closing it at once would make the kernel send a reset, and that can
// take the answer away from a client that has not read it yet. So only our half is closed, and what
// comes is read and thrown away for a while (RFC 9112 §9.6). Nothing of it is served.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** On a socket: its last answer is on its way. */
const CLOSING = Symbol('closing');

interface Marked extends Socket {
  [CLOSING]?: boolean;
}

/** For a client to notice that it was answered. */
const LINGER_MS = 10_000;

/** Ends the connection gently when the answer that goes out, with `Connection: close`, is through. */
export function closeAfter(req: IncomingMessage): void {
  const socket: Marked = req.socket;
  if (socket[CLOSING] === true) return;
  socket[CLOSING] = true;
  // Node calls this when the last answer of a connection has been written.
  socket.destroySoon = () => {
    linger(socket);
  };
}

/** Whether the connection of a request ends with an earlier answer. */
export function isClosing(req: IncomingMessage): boolean {
  return (req.socket as Marked)[CLOSING] === true;
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
