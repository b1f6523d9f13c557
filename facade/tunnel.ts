// One upgraded connection, carried to an upstream by http-proxy-middleware, which pipes both ways with
// back-pressure. It knows nothing of limits, so this file does: an answer to the handshake comes in
// time or the client gets 504; when one side has gone the other one is closed; nothing stays half open.
// Ends exactly once: `answered` with the outcome of the handshake, then `ended` when no byte can reach
// the upstream any more.
//
// Told to drain, a WebSocket gets a Close frame at the next boundary of the server's frames, so that the
// client ends it and comes back; what the client has sent before still goes to the upstream. Whatever
// has not ended by the deadline is cut.
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import { fieldsByName } from './domain/fields-by-name.ts';
import { closeFrame, FrameBoundary, type CloseCode } from './domain/frames.ts';
import { readResponseHead } from './domain/headers.ts';
import { CLIENT_GONE } from './job.ts';
import { PROBLEMS, type ProblemName } from './problem.ts';
import { answerOn, closeGently, linger } from './raw-socket.ts';
import type { Upstream } from './upstreams.ts';

export interface TunnelJob {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** What the client sent right behind its request. */
  readonly head: Buffer;
  readonly upstream: Upstream;
  /** Path and query, as matched. */
  readonly target: string;
  /** Names and values by turns; Connection and Upgrade are added. */
  readonly headers: readonly string[];
  readonly protocol: string;
  readonly requestId: string;
  /** For the upstream's answer to the handshake. */
  readonly timeoutMs: number;
  /** For the end, once told to drain. */
  readonly drainMs: number;
  /** Names and values to add to the answer. */
  readonly added: readonly string[];
  /** 101 or another answer of the upstream's, a problem's status, 499 when the client left. */
  readonly answered: (status: number, failure?: { why: ProblemName; error: Error }) => void;
  readonly ended: () => void;
}

/** Finds a peer that has vanished without a word; Node probes ten times, a second apart. */
const KEEP_ALIVE_MS = 30_000;
/** An upstream that falls silent in the middle of a refusal is given up after this. */
const SILENCE_MS = 60_000;
/** What has been sent is given this long to leave when a tunnel is cut. */
const CUT_MS = 250;

export class Tunnel {
  readonly #job: TunnelJob;
  #request: ClientRequest | undefined;
  /** The upstream's side, once it has changed the protocol. */
  #far: Socket | undefined;
  /** Of the server's frames, where the protocol is WebSocket. */
  #frames: FrameBoundary | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #closeCode: CloseCode | undefined;
  #answered = false;
  #ended = false;

  constructor(job: TunnelJob) {
    this.#job = job;
  }

  /** Sends the handshake to the upstream. */
  start(): void {
    const { socket, head, upstream, timeoutMs } = this.#job;
    this.#deadline = setTimeout(() => {
      this.#fail('late', new Error('no answer to an upgrade within the deadline'));
    }, timeoutMs);
    socket.once('close', () => {
      this.#onClientClose();
    });
    if (socket.destroyed) {
      this.#onClientClose();
      return;
    }
    const options: Options = {
      target: upstream.origin,
      // The default plugins write to the console and answer by themselves.
      ejectPlugins: true,
      plugins: [
        (proxy) => {
          proxy.on('proxyReqWs', (request) => {
            this.#onRequest(request);
          });
          proxy.on('error', (error) => {
            this.#onError(error);
          });
        },
      ],
      ...(upstream.servername === undefined
        ? undefined
        : { ssl: { servername: upstream.servername } }),
    };
    createProxyMiddleware(options).upgrade(this.#view(), socket, head);
  }

  /** Asks for the end; after `drainMs` it is cut. */
  drain(code: CloseCode): void {
    if (this.#drainTimer || this.#ended) return;
    this.#closeCode = code;
    this.#drainTimer = setTimeout(() => {
      this.#cut();
    }, this.#job.drainMs);
    this.#sayClose();
  }

  /**
   * The request as the proxy is to see it: our target and fields, and the one method and protocol that
   * it lets through; the real ones are put in before anything is sent.
   */
  #view(): IncomingMessage {
    const { req, upstream, target, headers } = this.#job;
    return Object.create(req, {
      method: { value: 'GET' },
      url: { value: upstream.prefix + target },
      headers: {
        value: { ...fieldsByName(headers), connection: 'Upgrade', upgrade: 'websocket' },
      },
      // It only asks whether it has subscribed to this server's upgrades itself: never.
      socket: { value: { server: this } },
    }) as IncomingMessage;
  }

  #onRequest(request: ClientRequest): void {
    this.#request = request;
    // These come before the proxy's own listeners.
    request.once('upgrade', (answer, far) => {
      this.#onUpgrade(answer, far);
    });
    request.once('response', (answer) => {
      this.#onRefusal(answer);
    });
    if (this.#answered) {
      request.destroy();
      return;
    }
    request.method = this.#job.req.method ?? 'GET';
    request.setHeader('Connection', 'Upgrade');
    request.setHeader('Upgrade', this.#job.protocol);
  }

  #onUpgrade(answer: IncomingMessage, far: Socket): void {
    const { socket, protocol } = this.#job;
    this.#far = far;
    far.once('close', () => {
      this.#end();
      closeGently(socket);
    });
    if (this.#answered) {
      far.destroy();
      return;
    }
    const fields = this.#answerFields(answer);
    if (!fields) {
      this.#fail('broken', new Error('an answer that can be read in two ways'));
      far.destroy();
      return;
    }
    clearTimeout(this.#deadline);
    const agreed = answer.headers.upgrade ?? protocol;
    answer.headers = { ...fields, Connection: 'Upgrade', Upgrade: agreed };
    // The proxy writes them as text, and a byte is a byte.
    socket.setDefaultEncoding('latin1');
    if (agreed.toLowerCase() === 'websocket') this.#frames = new FrameBoundary();
    // By then the proxy has joined the two sides, and nothing has passed yet.
    process.nextTick(() => {
      this.#onOpen(far);
    });
  }

  #onOpen(far: Socket): void {
    const { socket } = this.#job;
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    far.setKeepAlive(true, KEEP_ALIVE_MS);
    const frames = this.#frames;
    if (frames) {
      far.on('data', (chunk: Buffer) => {
        frames.see(chunk);
        this.#sayClose();
      });
      // Other protocols may be half closed for as long as they like, a WebSocket never is.
      socket.once('end', () => {
        linger(far);
      });
    }
    this.#answer(101);
    this.#sayClose();
  }

  /** The upstream answers the request instead of changing the protocol; the proxy passes that on. */
  #onRefusal(answer: IncomingMessage): void {
    if (this.#answered) return;
    const { socket } = this.#job;
    const status = answer.statusCode ?? 502;
    const headers = this.#answerFields(answer);
    if (status === 101 || !headers) {
      this.#fail('broken', new Error('no proper answer to an upgrade'));
      return;
    }
    clearTimeout(this.#deadline);
    // The proxy frames the body by these two.
    const { 'transfer-encoding': coding, 'content-length': length } = answer.headers;
    if (coding !== undefined) headers['transfer-encoding'] = coding;
    if (length !== undefined) headers['content-length'] = length;
    answer.headers = headers;
    answer.socket.setTimeout(SILENCE_MS, () => answer.destroy());
    this.#answer(status);
    answer.once('close', () => {
      this.#end();
      if (answer.complete) linger(socket);
      else socket.destroy();
    });
    // What was meant for the tunnel is of no use to anybody.
    socket.resume();
  }

  /** The answer's fields for the client, by name; undefined when two clients could read them differently. */
  #answerFields(answer: IncomingMessage): Record<string, string | string[]> | undefined {
    const status = answer.statusCode ?? 502;
    const bodiless = status < 200 || status === 204 || status === 304;
    const fields = readResponseHead(answer.rawHeaders, { status, bodiless, chunks: true });
    if ('kind' in fields) return undefined;
    const kept = [...fields, ...this.#job.added];
    return fieldsByName(kept, new Set(['content-length', 'trailer']));
  }

  #onError(error: Error): void {
    // The client's own connection: its close follows.
    if (this.#job.socket.destroyed) return;
    // A field that Node does not send.
    const bad = (error as NodeJS.ErrnoException).code === 'ERR_INVALID_CHAR';
    if (!this.#answered) this.#fail(bad ? 'unforwardable' : 'broken', error);
  }

  #onClientClose(): void {
    if (!this.#answered) {
      this.#answer(CLIENT_GONE);
      this.#request?.destroy();
      this.#end();
    } else if (this.#far) closeGently(this.#far);
  }

  #fail(why: ProblemName, error: Error): void {
    if (this.#answered) return;
    const { req, socket, requestId } = this.#job;
    this.#answer(PROBLEMS[why].status, { why, error });
    // At once, because the proxy ends the socket when it hears of its request's end.
    answerOn(req, socket, PROBLEMS[why], requestId);
    this.#request?.destroy();
    this.#end();
  }

  /** Once drained of time: nothing more of the client's reaches the upstream. */
  #cut(): void {
    const { socket } = this.#job;
    if (!this.#answered) {
      this.#fail('late', new Error('an upgrade was cut off in its handshake'));
      return;
    }
    this.#far?.unpipe(socket);
    if (this.#far) socket.unpipe(this.#far);
    if (this.#far) closeGently(this.#far, CUT_MS);
    else this.#request?.destroy();
    closeGently(socket, CUT_MS);
  }

  /** Sends the Close frame that is due, at a boundary of the server's frames. */
  #sayClose(): void {
    const code = this.#closeCode;
    const { socket } = this.#job;
    const frames = this.#frames;
    if (code === undefined || !frames?.between || frames.closed || !this.#far) return;
    this.#closeCode = undefined;
    this.#far.unpipe(socket);
    // Nothing may follow a Close; the upstream's last words are read and dropped.
    this.#far.resume();
    socket.write(closeFrame(code));
  }

  #answer(status: number, failure?: { why: ProblemName; error: Error }): void {
    if (this.#answered) return;
    this.#answered = true;
    clearTimeout(this.#deadline);
    this.#job.answered(status, failure);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#drainTimer);
    this.#job.ended();
  }
}
