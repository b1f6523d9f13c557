// A pool of connections, against servers that are scripted byte by byte.
import type { Socket } from 'node:net';
import { Pool, type PoolOptions } from '../../facade/pool.ts';
import type { AnswerListener, Outgoing, Sending } from '../../facade/sending.ts';
import { eventually, serveBytes } from './http.ts';
import { readRequest } from './recorder.ts';

const open: { close(): Promise<void> | void }[] = [];

/** Ends what a test has opened. */
export async function closeRigs(): Promise<void> {
  for (const one of open.splice(0).reverse()) await one.close();
}

/** Has it closed with the rest. */
export function closing(one: { close(): Promise<void> | void }): void {
  open.push(one);
}

/** What a request was told. */
export class Told implements AnswerListener {
  sending: Sending | undefined;
  connected = false;
  statuses: number[] = [];
  body = '';
  /** Takes no more of the body until told. */
  slow = false;
  trailers: readonly string[] | undefined;
  error: Error | undefined;
  onConnection(): void {
    this.connected = true;
  }
  onHead({ status }: { readonly status: number }): void {
    this.statuses.push(status);
  }
  onData(piece: Buffer): boolean {
    this.body += piece.toString('latin1');
    return !this.slow;
  }
  onEnd(trailers: readonly string[]): void {
    if (this.over) throw new Error('it has ended already');
    this.trailers = trailers;
  }
  onFail(error: Error): void {
    if (this.over) throw new Error('it has ended already');
    this.error = error;
  }
  get over(): boolean {
    return this.trailers !== undefined || this.error !== undefined;
  }
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export interface Rig {
  readonly pool: Pool;
  readonly sockets: Socket[];
  /** Targets, in the order of their arrival. */
  readonly arrived: string[];
  readonly send: (path: string, more?: Partial<Outgoing>) => Told;
}

/** `answers` gives what is said to a request, by its target; nothing where it is left waiting. */
export async function rig(
  answers: (target: string, socket: Socket) => string | undefined = () => OK,
  options: Partial<PoolOptions> = {},
): Promise<Rig> {
  const sockets: Socket[] = [];
  const arrived: string[] = [];
  const server = await serveBytes((socket) => {
    sockets.push(socket);
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      for (let next = readRequest(text); next; next = readRequest(text)) {
        text = text.slice(next.length);
        arrived.push(next.request.target);
        const answer = answers(next.request.target, socket);
        if (answer !== undefined) socket.write(answer, 'latin1');
      }
    });
  });
  open.push(server);
  return { ...poolTo(server.url, options), sockets, arrived };
}

/** A pool without a server. */
export function poolTo(
  url: string,
  options: Partial<PoolOptions> = {},
): Pick<Rig, 'pool' | 'send'> {
  const pool = new Pool(new URL(url), {
    ...{ connections: 2, connectTimeoutMs: 30_000, idleTimeoutMs: 30_000, keepAliveMs: 4_000 },
    headBytes: 16_384,
    ...options,
  });
  open.push(pool);
  return {
    pool,
    send: (target, more = {}) => {
      const told = new Told();
      const outgoing = { path: target, method: 'GET', headers: [], body: null, ...more };
      told.sending = pool.send(outgoing, told);
      return told;
    },
  };
}

/** Waits until all of them have ended. */
export const done = (...all: Told[]): Promise<void> =>
  eventually('the end of it', () => all.every(({ over }) => over));
