// nginx as a contender, and as an upstream: a real process with one worker, in a folder of its own under the system's
// temporary one, on loopback. Connections are kept alive on both sides and never closed for their
// age, as with the others; nothing is logged.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { waitFor } from '../core/lifecycle.ts';
import { freePort } from '../core/free-port.ts';
import { start, type Start, type Started } from './processes.ts';

/** Starts it before `upstream`; its `line` is its URL. */
export function startNginx(upstream: string): Promise<Started> {
  return startWith('measured', 'proxy_pass http://target;', new URL(upstream).host);
}

/** Starts it as an upstream that answers every request with `body`. */
export function startNginxAnswering(body: string): Promise<Started> {
  return startWith('helper', `default_type application/json; return 200 '${body}';`);
}

async function startWith(
  place: Start['place'],
  does: string,
  upstream = '127.0.0.1:1',
): Promise<Started> {
  const folder = await mkdtemp(path.join(tmpdir(), 'banyan-bench-nginx-'));
  const port = await freePort();
  const file = path.join(folder, 'nginx.conf');
  await writeFile(file, configOf(does, upstream, port, folder));
  // It says nothing when it is ready: the shell's line stands for it, and the port is waited for.
  const shell = 'echo started; exec nginx "$@"';
  const nginx = await start({
    place,
    command: '/bin/sh',
    args: ['-c', shell, 'nginx', '-p', folder, '-c', file, '-e', path.join(folder, 'error.log')],
  });
  await waitFor(() => accepts(port), { timeoutMs: 10_000, what: 'nginx to listen' });
  return {
    ...nginx,
    line: `http://127.0.0.1:${port}`,
    stop: async () => {
      await nginx.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configOf(does: string, upstream: string, port: number, folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join('\n');
  return `
daemon off;
worker_processes 1;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
events { worker_connections 1024; }
http {
${temporary}
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  upstream target {
    server ${upstream};
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      ${does}
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
    }
  }
}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => {
      resolve(false);
    });
  });
}
