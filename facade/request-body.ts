// A request's body as undici takes it: pulled from the client's socket only as fast as the upstream
// accepts it. Until the first pull nothing is read and no `100 Continue` is sent. undici may destroy
// this stream at any time (the answer came early, the upstream died); the client's request and its
// socket are never destroyed with it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** Wraps the body of `req`; `onProgress` is called for each chunk that is passed on. */
export function requestBody(
  req: IncomingMessage,
  onFirstPull: () => void,
  onProgress: () => void,
): Readable {
  let pulled = false;
  const onData = (chunk: Buffer): void => {
    onProgress();
    if (!body.push(chunk)) req.pause();
  };
  const onEnd = (): void => {
    body.push(null);
  };
  const onClose = (): void => {
    if (!req.readableEnded) body.destroy(new Error('the client went away'));
  };
  const body = new Readable({
    read() {
      if (pulled) {
        req.resume();
        return;
      }
      pulled = true;
      onFirstPull();
      req.on('data', onData).on('end', onEnd).on('close', onClose);
    },
    destroy(error, done) {
      req.off('data', onData).off('end', onEnd).off('close', onClose);
      // Whatever the client still sends is read and thrown away, so that it sees the answer.
      if (pulled) req.resume();
      done(error);
    },
  });
  return body;
}

/** Sends `100 Continue`, unless the server has done so by itself (it has no checkContinue listener). */
export function sendContinue(res: ServerResponse): void {
  const sent = (res as ServerResponse & { _sent100?: boolean })._sent100;
  if (sent !== true && !res.headersSent) res.writeContinue();
}
