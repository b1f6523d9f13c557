// Both ends of upgraded connections: WebSocket servers that echo, upstreams of raw bytes, clients.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket, WebSocketServer, type ClientOptions } from 'ws';
import { serveEdge, type TestEdge, type TestEdgeOptions } from './edge.ts';
import { eventually, serve, serveBytes, wire, type Wire } from './http.ts';

export const open: { close(): Promise<void> | void }[] = [];

/** Ends what a test has opened. */
export async function closeAll(): Promise<void> {
  for (const one of open.splice(0).reverse()) await one.close();
}

export interface Echo {
  readonly url: string;
  /** Upgrade requests that have arrived. */
  readonly upgrades: IncomingMessage[];
  readonly sockets: Set<WebSocket>;
  /** Messages and `close CODE`s, in order. */
  readonly seen: string[];
  /** Makes it keep answers to plain requests back, in `pending`. */
  waits: boolean;
  readonly pending: ServerResponse[];
}

/** A WebSocket server that echoes, prefixed with its name; plain requests get `plain METHOD url body`. */
export async function serveEcho(name: string): Promise<Echo> {
  const seen: string[] = [];
  const upgrades: IncomingMessage[] = [];
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  server.prependListener('upgrade', (req: IncomingMessage) => upgrades.push(req));
  sockets.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      seen.push(data.toString());
      socket.send(`${name} ${data.toString()}`);
    });
    socket.on('close', (code) => seen.push(`close ${code}`));
    socket.on('error', () => undefined);
  });
  const served = await serve((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    req.on('end', () => {
      if (self.waits) self.pending.push(res);
      else res.end(`plain ${req.method} ${req.url} ${body}`.trim());
    });
  }, server);
  open.push({
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      await served.close();
    },
  });
  const self: Echo = {
    url: served.url,
    upgrades,
    sockets: sockets.clients,
    seen,
    waits: false,
    pending: [],
  };
  return self;
}

/** An edge that ends its tunnels with the test. */
export async function edgeTo(options: TestEdgeOptions): Promise<TestEdge> {
  const edge = await serveEdge(options);
  open.push({
    close: async () => {
      edge.edge.drain();
      await edge.close();
    },
  });
  return edge;
}

export interface Client {
  readonly ws: WebSocket;
  readonly got: string[];
  readonly closed: Promise<number>;
}

/** Starts a WebSocket; `opened` rejects with the status of a refusal. */
export function begin(
  port: number,
  path = '/live',
  options: ClientOptions = {},
): Client & { opened: Promise<Client> } {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
  const got: string[] = [];
  ws.on('message', (data: Buffer) => got.push(data.toString()));
  const closed = new Promise<number>((resolve) => ws.on('close', resolve));
  const opened = new Promise<Client>((resolve, reject) => {
    ws.on('open', () => {
      resolve({ ws, got, closed });
    });
    ws.on('error', reject);
  });
  opened.catch(() => undefined);
  open.push({
    close: () => {
      ws.terminate();
    },
  });
  return { ws, got, closed, opened };
}

/** Waits for these messages. */
export async function until(client: Client, ...messages: string[]): Promise<void> {
  await eventually(`${messages.join()}; got ${client.got.join()}`, () =>
    messages.every((message) => client.got.includes(message)),
  );
}

/** A raw connection to the edge. */
export async function rawWire(port: number): Promise<Wire> {
  const raw = await wire(port);
  open.push({
    close: () => {
      raw.socket.destroy();
    },
  });
  return raw;
}

/** A WebSocket's request. */
export const handshake = (path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;

/** Agrees to the protocol `x`. */
export const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';

/** An upstream of raw bytes that collects what it gets. */
export async function serveRaw(
  answer: (socket: Socket, request: string) => void,
): Promise<{ url: string; text: () => string; sockets: Socket[] }> {
  let text = '';
  const sockets: Socket[] = [];
  const server = await serveBytes((socket) => {
    sockets.push(socket);
    let answered = false;
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (answered || !text.includes('\r\n\r\n')) return;
      answered = true;
      answer(socket, text);
    });
  });
  open.push(server);
  return { url: server.url, text: () => text, sockets };
}

/** Whether requests with these labels have been counted. */
export async function finished(edge: TestEdge, labels: string): Promise<boolean> {
  return (await edge.metrics.registry.metrics()).includes(`banyan_requests_total{${labels}}`);
}
