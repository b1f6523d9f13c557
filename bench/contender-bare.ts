// The least that a proxy on undici's dispatch can do: headers across, body across.
// `node contender-bare.ts UPSTREAM`
import { createServer } from 'node:http';
import { Pool } from 'undici';
import { announce } from './announce.ts';

const pool = new Pool(process.argv[2] ?? '', { connections: 128, pipelining: 1 });
const NOT_FORWARDED = new Set(['connection', 'keep-alive', 'transfer-encoding']);

announce(
  createServer((req, res) => {
    const { method = 'GET', rawHeaders } = req;
    pool.dispatch(
      {
        path: req.url ?? '/',
        method,
        headers: method === 'GET' ? rawHeaders : forwardable(rawHeaders),
        body: method === 'GET' ? null : req,
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
  }),
);

/** undici frames a body by itself and refuses to be told how. */
function forwardable(raw: string[]): string[] {
  return raw.filter((_, at) => !NOT_FORWARDED.has(raw[at - (at % 2)]?.toLowerCase() ?? ''));
}
