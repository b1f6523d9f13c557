// A connection of copies, kept cheap whatever the other side sends. undici reads a socket until it is
// empty and goes on parsing what it has already read of a connection that it gave up: an answer of
// ten thousand header fields costs a tenth of a second that clients wait for. So it gets its bytes in
// small pieces, not without end between two requests, and none once the socket is destroyed; and what
// it takes over them is paid for: time, and the bytes that were brought in, read or not.
import type { Socket } from 'node:net';
import type { Allowance } from './allowance.ts';

const PIECE_BYTES = 4_096;
/** Milliseconds of processor that it takes to get one byte out of the kernel; measured, roughly. */
const BYTE_MS = 2e-6;

export interface Meters {
  /** Milliseconds of the processor. */
  readonly cpu: Pick<Allowance, 'spend'>;
  readonly bytes: Pick<Allowance, 'spend'>;
}

/** Destroys the socket when more than `most` bytes answer one request. */
export function meterSocket(socket: Socket, { cpu, bytes }: Meters, most: number): void {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  let handedOut = 0;
  let written = -1;
  let answered = 0;
  let broughtIn = 0;
  const weigh = (): void => {
    bytes.spend(socket.bytesRead - broughtIn);
    broughtIn = socket.bytesRead;
  };
  socket.once('close', weigh);
  socket.read = (size?: number): Buffer | null => {
    // Between two reads of one loop lies the parsing of what the first one gave.
    if (handedOut > 0) cpu.spend(performance.now() - handedOut);
    handedOut = 0;
    weigh();
    if (socket.bytesWritten !== written) {
      written = socket.bytesWritten;
      answered = 0;
    }
    const piece = socket.destroyed ? null : read(size ?? nextSize(socket));
    if (piece === null) return null;
    answered += piece.length;
    cpu.spend(piece.length * BYTE_MS);
    if (answered > most) {
      socket.destroy(new Error('an answer without end'));
      return null;
    }
    handedOut = performance.now();
    return piece;
  };
}

function nextSize(socket: Socket): number | undefined {
  return socket.readableLength > PIECE_BYTES ? PIECE_BYTES : undefined;
}
