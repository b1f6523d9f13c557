// Connections for copies, on which nobody's patience is to be spent: undici's, each shown to a guard
// before it is used.
import type { Socket } from 'node:net';
import { buildConnector, Pool } from 'undici';
import { hostOf, servernameOf } from './dial.ts';

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
  const host = hostOf(origin);
  const servername = servernameOf(host);
  // It would ask for the name in the Host field, which is the client's, and end the connection where that changes.
  const always = origin.protocol === 'https:' ? { servername: host } : undefined;
  const pool = new Pool(origin, {
    connections: options.connections,
    pipelining: 1,
    connect: (to, callback) => {
      options.onConnect();
      connect({ ...to, servername }, (...given) => {
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
    dispatch: (asked, handler) => pool.dispatch({ ...asked, ...always }, handler),
    close: () => pool.destroy(),
  };
}
