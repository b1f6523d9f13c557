// A client's connection after Node's HTTP parser has let go of it (the server's `upgrade` event):
// answered with a problem, given back as an ordinary request, or closed without losing what was sent.
import { ServerResponse, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { answerProblem, type Problem } from './problem.ts';

/** Half-closed connections are given this long to close from the other side. */
const LINGER_MS = 5_000;

/** Answers with a problem and closes. */
export function answerOn(
  req: IncomingMessage,
  socket: Socket,
  problem: Problem,
  requestId?: string,
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  answerProblem(req, res, problem, requestId);
  res.detachSocket(socket);
  closeGently(socket);
}

/**
 * Sends what is due and the end, and reads on until the other side has closed as well, for a bounded
 * time: closing with unread bytes would reset the connection and could take the answer with it.
 */
export function closeGently(socket: Duplex, lingerMs = LINGER_MS): void {
  if (socket.destroyed) return;
  socket.end();
  linger(socket, lingerMs);
}

/** Reads on until the socket is closed, for a bounded time; somebody else ends it. */
export function linger(socket: Duplex, lingerMs = LINGER_MS): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => {
    socket.destroy();
  }, lingerMs);
  socket.once('close', () => {
    clearTimeout(timer);
  });
  socket.resume();
}

/**
 * Gives a request whose offer to upgrade is ignored back to its server, without the offer: it is
 * written anew in front of what followed it, and read by a new parser (injecting a connection by the
 * `connection` event is Node's documented way).
 */
export function serveWithoutUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { rawHeaders, method = 'GET', url = '/', httpVersion } = req;
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const value = withoutOffer(name, rawHeaders[at + 1] ?? '');
    if (value !== undefined) text += `${name}: ${value}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]));
  const { server } = socket as Duplex & { server?: Server };
  if (!server) socket.destroy();
  else server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket);
}

/** A field without the offer; what else Connection says (close, nominated fields) stays. */
function withoutOffer(name: string, value: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower === 'upgrade') return undefined;
  if (lower !== 'connection') return value;
  const rest = value.split(',').filter((token) => token.trim().toLowerCase() !== 'upgrade');
  return rest.length === 0 ? undefined : rest.join(',');
}
