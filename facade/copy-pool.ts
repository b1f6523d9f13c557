// Connections for copies, on which nobody's patience is to be spent: undici's, each shown to a guard
// before it is used.
import type { Socket } from 'node:net';
import { buildConnector, Pool } from 'undici';

export interface CopyPoolOptions {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** An upstream that falls silent in the middle of an answer is given up after this. */
  readonly idleTimeoutMs: number;
  /** The largest head of an answer. */
  readonly headBytes: number;
  /** Is called for every connection that is tried. */
  readonly onConnect: () => void;
  /** Is shown every connection before it is used. */
  readonly onSocket: (socket: Socket) => void;
}

export interface CopyPool extends Pick<Pool, 'dispatch'> {
  close(): Promise<void>;
}

/** Connects when there is something to ask. */
export function copyPool(origin: URL, options: CopyPoolOptions): CopyPool {
  const connect = buildConnector({ timeout: options.connectTimeoutMs });
  const pool = new Pool(origin, {
    connections: options.connections,
    pipelining: 1,
    connect: (to, callback) => {
      options.onConnect();
      connect(to, (...given) => {
        if (given[1]) options.onSocket(given[1]);
        callback(...given);
      });
    },
    // Who asks keeps the deadline of the whole question, queue included.
    headersTimeout: 0,
    bodyTimeout: options.idleTimeoutMs,
    maxHeaderSize: options.headBytes,
  });
  return {
    dispatch: (...given) => pool.dispatch(...given),
    close: () => pool.destroy(),
  };
}
