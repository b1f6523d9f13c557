// A connection of copies, kept cheap whatever the other side sends. undici reads a socket until it is
// empty and goes on parsing what it has already read of a connection that it gave up: an answer of
// ten thousand header fields costs a tenth of a second that clients wait for. So it gets its bytes in
// small pieces, none once the socket is destroyed, and the time that it takes over them is paid for.
import type { Socket } from 'node:net';
import type { Allowance } from './allowance.ts';

const PIECE_BYTES = 4_096;

export function meterSocket(socket: Socket, cpu: Pick<Allowance, 'spend'>): void {
  const read = socket.read.bind(socket) as (size?: number) => unknown;
  let handedOut = 0;
  socket.read = (size?: number) => {
    // Between two reads of one loop lies the parsing of what the first one gave.
    if (handedOut > 0) cpu.spend(performance.now() - handedOut);
    const piece = socket.destroyed ? null : read(size ?? nextSize(socket));
    handedOut = piece === null ? 0 : performance.now();
    return piece;
  };
}

function nextSize(socket: Socket): number | undefined {
  return socket.readableLength > PIECE_BYTES ? PIECE_BYTES : undefined;
}
