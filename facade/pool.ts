// The connections to one origin: opened when they are needed, up to a limit, kept as long as the upstream
// keeps them; requests that find none wait for the next, in their order. A connection that cannot be had
// fails the request that has waited longest, and no other.
//
// One whose answer has ended rests before it is used again, until the event loop has looked for what else
// has come by it: its end, which many an upstream sends along with an answer, or bytes that nobody asked
// for, of which the next request would make its answer (GHSA-35p6-xmwp-9g52 is undici's of this kind).
import type { Socket } from 'node:net';
import { Connection } from './connection.ts';
import { dial, hostOf, type Address, type Dialled } from './dial.ts';
import { Sending, type AnswerListener, type Outgoing } from './sending.ts';

export interface PoolOptions {
  /** Connections at most. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** An unused connection is kept for so long, where the upstream says nothing of it. */
  readonly keepAliveMs: number;
  /** An upstream that falls silent in the middle of an answer is given up after this. */
  readonly idleTimeoutMs: number;
  /** The most that the head of an answer may have. */
  readonly headBytes: number;
}

/** No connection in time. */
export class ConnectTimeout extends Error {
  override readonly name = 'ConnectTimeout';
  readonly code = 'BANYAN_CONNECT_TIMEOUT';
}

const SWEEP_MS = 1_000;
/** Nobody's request is on it. */
const EXPIRED = new Error('the connection was not used for too long');

export class Pool {
  readonly #options: PoolOptions;
  readonly #address: Address;
  /** As a Host field names it. */
  readonly #host: string;
  readonly #all = new Set<Connection>();
  /** The one used last is used first: the others may go. */
  readonly #free: Connection[] = [];
  /** At rest: since this turn of the event loop, and since the one before. */
  #resting: Connection[] = [];
  #rested: Connection[] = [];
  readonly #queue: Sending[] = [];
  readonly #opening = new Set<Socket>();
  #session: Buffer | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #closed = false;

  /** Connects when there is something to send. */
  constructor(origin: URL, options: PoolOptions) {
    this.#options = options;
    const secure = origin.protocol === 'https:';
    const hostname = hostOf(origin);
    this.#address = { secure, hostname, port: Number(origin.port || (secure ? 443 : 80)) };
    this.#host = origin.host;
  }

  /** Its listener hears of it from now on, perhaps at once. Throws Unforwardable, or that it is closed. */
  send(outgoing: Outgoing, listener: AnswerListener): Sending {
    if (this.#closed) throw closed();
    const sending = new Sending(outgoing, this.#host, listener);
    const free = this.#takeFree();
    if (free) free.carry(sending);
    else this.#wait(sending);
    return sending;
  }

  /** Whether requests wait for those before them, and not for a connection. */
  get isFull(): boolean {
    return this.#all.size >= this.#options.connections;
  }

  /** Whatever is under way fails. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    const error = closed();
    for (let next = this.#next(); next; next = this.#next()) next.listener.onFail(error);
    for (const socket of this.#opening) socket.destroy();
    for (const connection of this.#all) connection.destroy(error);
  }

  #takeFree(): Connection | undefined {
    const now = performance.now();
    for (let free = this.#free.pop(); free; free = this.#free.pop()) {
      if (free.freeUntil > now) return free;
      free.destroy(EXPIRED);
    }
    return undefined;
  }

  #wait(sending: Sending): void {
    sending.carriedBy({
      resume: () => undefined,
      giveUp: () => {
        const at = this.#queue.indexOf(sending);
        if (at !== -1) this.#queue.splice(at, 1);
      },
    });
    this.#queue.push(sending);
    this.#open();
  }

  /** As many as there are requests that wait, within the limit; those at rest will take one each. */
  #open(): void {
    while (
      !this.#closed &&
      this.#opening.size + this.#resting.length + this.#rested.length < this.#queue.length &&
      this.#opening.size + this.#all.size < this.#options.connections
    )
      this.#openOne();
  }

  #openOne(): void {
    const dialled = dial(this.#address, this.#session, (session) => {
      this.#session = session;
    });
    const { socket } = dialled;
    this.#opening.add(socket);
    const timer = setTimeout(() => {
      socket.destroy(new ConnectTimeout('no connection to the upstream in time'));
    }, this.#options.connectTimeoutMs);
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure = error;
    };
    const onClose = (): void => {
      clearTimeout(timer);
      this.#opening.delete(socket);
      if (this.#closed) return;
      const error = failure ?? new Error('the upstream closed the connection at once');
      this.#next()?.listener.onFail(error);
      this.#open();
    };
    socket.on('error', onError).on('close', onClose);
    socket.once(dialled.event, () => {
      clearTimeout(timer);
      this.#opening.delete(socket);
      socket.off('error', onError).off('close', onClose);
      this.#take(dialled);
    });
  }

  #take(dialled: Dialled): void {
    const { headBytes, idleTimeoutMs, keepAliveMs } = this.#options;
    const connection = new Connection({
      ...{ dialled, headBytes, idleTimeoutMs, keepAliveMs },
      onFree: (free) => {
        this.#rest(free);
      },
      onClosed: (closed) => {
        this.#forget(closed);
      },
    });
    this.#all.add(connection);
    this.#sweep ??= setInterval(() => {
      this.#sweepOut();
    }, SWEEP_MS).unref();
    this.#put(connection);
  }

  #rest(connection: Connection): void {
    this.#resting.push(connection);
    if (this.#resting.length + this.#rested.length === 1) setImmediate(onTurn, this);
  }

  /** The event loop has been round. */
  turn(): void {
    const ready = this.#rested;
    this.#rested = this.#resting;
    this.#resting = [];
    if (this.#rested.length > 0) setImmediate(onTurn, this);
    for (const connection of ready) if (!connection.closed) this.#put(connection);
    // Those that have ended meanwhile were counted on.
    this.#open();
  }

  /** Out of the queue. */
  #next(): Sending | undefined {
    const next = this.#queue.shift();
    next?.carriedBy(undefined);
    return next;
  }

  #put(connection: Connection): void {
    const next = this.#next();
    if (next) connection.carry(next);
    else this.#free.push(connection);
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection);
    const at = this.#free.lastIndexOf(connection);
    if (at !== -1) this.#free.splice(at, 1);
    this.#open();
  }

  #sweepOut(): void {
    const now = performance.now();
    for (const free of this.#free.filter(({ freeUntil }) => freeUntil <= now))
      free.destroy(EXPIRED);
  }
}

function onTurn(pool: Pool): void {
  pool.turn();
}

function closed(): Error {
  return new Error('the connections to the upstream are closed');
}
