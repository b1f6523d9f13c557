// One process of the facade benchmark: `node facade-contender.ts upstream | bare URL | facade URL
// CONTROL_URL`. Prints its URL as the first line and ends when its stdin closes.
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Pool } from 'undici';
import { defineMigration } from '../control/define.ts';
import { createLogger } from '../core/log.ts';
import { facadePart } from '../facade/server.ts';

const BODY = JSON.stringify({ id: 17, name: 'a product', price: '12.50', text: 'x'.repeat(960) });

/** Answers every request with the same 1 KB, with no HTTP parser in the way. */
function upstream(): Server {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: ${new Date().toUTCString()}\r\ncache-control: no-cache\r\netag: "17"\r\nkeep-alive: timeout=60\r\nconnection: keep-alive\r\ncontent-length: ${BODY.length}\r\n\r\n`;
  const answer = Buffer.from(head + BODY);
  return createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      // One request in flight on each connection: a head's end is a request.
      if (chunk.includes('\r\n\r\n')) socket.write(answer);
    });
  });
}

/** The least that a proxy on undici's dispatch can do: headers across, body across. */
function bare(target: string): Server {
  const pool = new Pool(target, { connections: 128, pipelining: 1 });
  return createHttpServer((req, res) => {
    pool.dispatch(
      {
        path: req.url ?? '/',
        method: req.method ?? 'GET',
        headers: req.rawHeaders,
        body: req.method === 'GET' ? null : req,
      },
      {
        onRequestStart: () => undefined,
        onResponseStart: (controller, status) => {
          const raw = controller.rawHeaders;
          const headers = Array.isArray(raw) ? raw.map((part) => part.toString()) : [];
          res.writeHead(status, headers);
        },
        onResponseData: (controller, chunk) => {
          if (res.write(chunk)) return;
          controller.pause();
          res.once('drain', () => {
            controller.resume();
          });
        },
        onResponseEnd: () => {
          res.end();
        },
        onResponseError: () => {
          res.destroy();
        },
      },
    );
  });
}

function announce(server: Server): void {
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  });
}

async function facade(target: string, controlUrl: string): Promise<void> {
  const stop = new AbortController();
  process.stdin.on('end', () => {
    stop.abort();
  });
  const migration = defineMigration({
    monolith: { upstream: target },
    services: { catalog: { upstream: target } },
    capabilities: {
      catalog: { service: 'catalog', routes: ['/api/products', '/api/products/:id'] },
    },
  });
  await facadePart({
    migration,
    upstreams: { monolith: target, services: { catalog: target } },
    controlUrl,
    data: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    log: createLogger({ part: 'facade' }, 'warn'),
    onListening: ({ url }) => process.stdout.write(`${url}\n`),
  }).run(stop.signal, () => undefined);
}

const [role, target = '', controlUrl = ''] = process.argv.slice(2);
process.stdin.resume();
if (role === 'facade') await facade(target, controlUrl);
else {
  process.stdin.on('end', () => process.exit(0));
  announce(role === 'bare' ? bare(target) : upstream());
}
