// Other programs' reading of the same bytes: Node's own server, and nginx as a real process. Each is
// given a connection's bytes as an upstream of the facade got them, and tells what requests it found.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../core/free-port.ts';
import { eventually, readAll, serve, wire } from '../support/http.ts';

/** A request as a reader understood it. */
export interface Understood {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly bodyLength: number;
}

export interface Reader {
  /** The requests in `bytes`; `expected` says how many answers to wait for. */
  read(bytes: string, expected: number): Promise<readonly Understood[]>;
  close(): Promise<void>;
}

/** Node's http server, as it comes. */
export async function nodeReader(): Promise<Reader> {
  const found: Understood[] = [];
  const server = await serve((req, res) => {
    record(found, req, res, ({ method = '', url = '', headers }) => ({
      method,
      target: url,
      host: headers.host ?? '',
    }));
  });
  return {
    read: (bytes, expected) => ask(server.port, found, bytes, expected),
    close: server.close,
  };
}

/**
 * nginx, which passes what it has read to a server of ours, with the whole body and its length;
 * undefined where no nginx is installed.
 */
export async function nginxReader(): Promise<Reader | undefined> {
  const binary = findNginx();
  if (binary === undefined) return undefined;
  const found: Understood[] = [];
  const behind = await serve((req, res) => {
    record(found, req, res, ({ headers }) => ({
      method: String(headers['x-seen-method']),
      target: String(headers['x-seen-target']),
      host: String(headers['x-seen-host']),
    }));
  });
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'banyan-nginx-'));
  const child = await startNginx(binary, directory, port, behind.port);
  return {
    read: (bytes, expected) => ask(port, found, bytes, expected),
    close: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      await behind.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A place in the order of arrival, to be filled in when the body is through. */
function record(found: Understood[], req: IncomingMessage, res: ServerResponse, read: Shape): void {
  const at = found.push(UNREAD) - 1;
  readAll(req).then(
    (body) => {
      found[at] = { ...read(req), bodyLength: body.length };
      res.end();
    },
    () => undefined,
  );
}

type Shape = (req: IncomingMessage) => Omit<Understood, 'bodyLength'>;

const UNREAD: Understood = { method: 'NOT', target: 'READ', host: '', bodyLength: 0 };

/** Sends the bytes and, unless they end the connection, a last request that must be found as well. */
async function ask(
  port: number,
  found: Understood[],
  bytes: string,
  expected: number,
): Promise<readonly Understood[]> {
  found.length = 0;
  const client = await wire(port);
  client.send(bytes);
  const answers = (): number => client.received().split('HTTP/1.1 ').length - 1;
  await eventually('the answers', () => answers() >= expected || client.socket.closed);
  if (/\r\nconnection: close\r\n/i.test(bytes)) {
    await client.untilClosed();
    return [...found];
  }
  client.send('GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n');
  await client.untilClosed();
  return found.at(-1)?.target === '/last' ? found.slice(0, -1) : [...found, UNREAD];
}

function findNginx(): string | undefined {
  for (const binary of ['nginx', '/usr/sbin/nginx'])
    try {
      execFileSync(binary, ['-v'], { stdio: 'ignore' });
      return binary;
    } catch {
      // Not here.
    }
  return undefined;
}

async function startNginx(
  binary: string,
  directory: string,
  port: number,
  behind: number,
): Promise<ChildProcess> {
  await mkdir(join(directory, 'logs'));
  const config = join(directory, 'nginx.conf');
  await writeFile(config, configOf(directory, port, behind));
  const child = spawn(binary, ['-p', directory, '-c', config, '-e', join(directory, 'errors')], {
    stdio: 'ignore',
  });
  await eventually('nginx to listen', () => {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    return listens(port);
  });
  return child;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

/** In the foreground, without workers of another user, everything it writes in `directory`. */
function configOf(directory: string, port: number, behind: number): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${directory}/${kind};`,
  );
  return `
daemon off;
master_process off;
pid ${directory}/pid;
events { worker_connections 64; }
http {
  access_log off;
  ${paths.join('\n  ')}
  client_header_buffer_size 64k;
  large_client_header_buffers 4 64k;
  underscores_in_headers on;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${behind};
      proxy_http_version 1.1;
      proxy_method POST;
      proxy_set_header Host behind;
      proxy_set_header X-Seen-Method $request_method;
      proxy_set_header X-Seen-Target $request_uri;
      proxy_set_header X-Seen-Host $http_host;
      proxy_pass_request_headers off;
    }
  }
}
`;
}
