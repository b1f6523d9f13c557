// Real HTTP for tests: upstreams that a test scripts, and clients that can be as rude as the wire allows.
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect, createServer as createNetServer, type AddressInfo, type Socket } from 'node:net';
import { waitFor } from '../../core/lifecycle.ts';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly server: Server;
  readonly close: () => Promise<void>;
}

/** Listens on a free port of loopback; `close` also ends open connections. */
export async function serve(listener: RequestListener, server?: Server): Promise<TestServer> {
  const own = server ?? createServer(listener);
  if (server) server.on('request', listener);
  await new Promise<void>((resolve) => {
    own.listen(0, '127.0.0.1', resolve);
  });
  const { port } = own.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server: own,
    close: () =>
      new Promise((resolve) => {
        own.close(() => {
          resolve();
        });
        own.closeAllConnections();
      }),
  };
}

/** An upstream that speaks bytes: `script` gets each connection and its number, from 0. */
export async function serveBytes(
  script: (socket: Socket, nth: number) => void,
): Promise<Pick<TestServer, 'url' | 'close'>> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    script(socket, connections++);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers with JSON. */
export function json(value: unknown, status = 200): RequestListener {
  const body = JSON.stringify(value);
  return (req, res) => {
    req.resume();
    res.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    });
    res.end(req.method === 'HEAD' ? undefined : body);
  };
}

/** A monolith or a service that records what arrives; answers `{"by": name}`. */
export interface Side {
  readonly url: string;
  /** `METHOD url body` of each request that was received whole. */
  readonly seen: string[];
  /** Makes it keep answers back, in `pending`. */
  waits: boolean;
  readonly pending: ServerResponse[];
  close(): Promise<void>;
}

export async function serveSide(name: string): Promise<Side> {
  const seen: string[] = [];
  const pending: ServerResponse[] = [];
  const server = await serve((req, res) => {
    readAll(req).then(
      (body) => {
        seen.push(`${req.method} ${req.url} ${body.toString()}`.trim());
        if (self.waits) pending.push(res);
        else json({ by: name })(req, res);
      },
      () => undefined,
    );
  });
  const self: Side = { url: server.url, seen, pending, waits: false, close: server.close };
  return self;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly body: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
}

/** One request on a connection of its own; rejects when the connection breaks. */
export function call(url: string, options: CallOptions = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false },
      (res) => {
        readAll(res).then((body) => {
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            rawHeaders: res.rawHeaders,
            body: body.toString(),
          });
        }, reject);
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

/** The bytes of a message; rejects when it breaks off. */
export async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export interface Wire {
  readonly socket: Socket;
  /** What has come so far, as Latin-1. */
  received(): string;
  send(text: string): void;
  /** Waits until what was received matches; returns it. */
  until(pattern: RegExp): Promise<string>;
  /** Waits for the end of the connection; returns everything received. */
  untilClosed(): Promise<string>;
}

/** A raw connection, for requests that no client library would send. */
export async function wire(port: number, { allowHalfOpen = false } = {}): Promise<Wire> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  let text = '';
  let closed = false;
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    closed = true;
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  return {
    socket,
    received: () => text,
    send: (bytes) => socket.write(bytes, 'latin1'),
    until: async (pattern) => {
      await waitFor(() => pattern.test(text), {
        timeoutMs: 30_000,
        everyMs: 5,
        what: `${String(pattern)} on the wire; got ${text}`,
      });
      return text;
    },
    untilClosed: async () => {
      await waitFor(() => closed, { timeoutMs: 30_000, everyMs: 5, what: `the end of ${text}` });
      return text;
    },
  };
}

/** Waits for a condition, with a deadline. */
export async function eventually(
  what: string,
  probe: () => boolean | Promise<boolean>,
): Promise<void> {
  await waitFor(probe, { timeoutMs: 30_000, everyMs: 5, what });
}
