// A request's body on its way to an upstream, as fast as that takes it: with the length that was said, to
// the byte, or in chunks.
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

export interface Writing {
  /** Nothing more of it is wanted. */
  stop(): void;
}

/** `done` is called once, when all was handed to the socket or no more will be; never after `stop`. */
export function writeStream(
  socket: Socket,
  body: Readable,
  length: number | undefined,
  done: (error?: Error) => void,
): Writing {
  let left = length ?? Infinity;
  let over = false;
  const end = (): boolean => {
    if (over) return false;
    over = true;
    body.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
    socket.off('drain', onDrain);
    // What comes late is of no interest.
    body.on('error', () => undefined);
    return true;
  };
  const fail = (error: Error): void => {
    if (!end()) return;
    body.destroy();
    done(error);
  };
  const onData = (piece: Buffer): void => {
    if (piece.length === 0) return;
    left -= piece.length;
    if (left < 0) {
      fail(new Error('the body is longer than the request says'));
      return;
    }
    let goesOn: boolean;
    if (length === undefined) {
      socket.cork();
      socket.write(`${piece.length.toString(16)}\r\n`, 'latin1');
      socket.write(piece);
      goesOn = socket.write('\r\n', 'latin1');
      socket.uncork();
    } else goesOn = socket.write(piece);
    if (!goesOn) body.pause();
  };
  const onDrain = (): void => {
    body.resume();
  };
  const onEnd = (): void => {
    if (length !== undefined && left > 0) {
      fail(new Error('the body is shorter than the request says'));
      return;
    }
    if (!end()) return;
    if (length === undefined) socket.write('0\r\n\r\n', 'latin1');
    done();
  };
  const onError = (error: Error): void => {
    fail(error);
  };
  const onClose = (): void => {
    fail(new Error('the body broke off'));
  };
  socket.on('drain', onDrain);
  // It broke off while there was no connection for it: its events are past.
  if (body.destroyed) process.nextTick(onClose);
  body.on('error', onError).on('close', onClose).on('end', onEnd).on('data', onData);
  return {
    stop: () => {
      if (end()) body.destroy();
    },
  };
}
