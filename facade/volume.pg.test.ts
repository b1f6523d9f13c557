// Bodies far larger than memory go through a real facade, down and (chunked) up, also to a reader
// that is slower than the upstream and to an upstream that is slower than the client: its memory
// stays bounded. 128 MB each way; `VOLUME_MB=10240` soaks.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { request, type IncomingMessage } from 'node:http';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sleep } from '../core/lifecycle.ts';
import { rssBytes, startBanyan, writeConfig, type Running } from '../test/support/command.ts';
import { serve, type TestServer } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';

const MB = 1_048_576;
const VOLUME = Number(process.env['VOLUME_MB'] ?? 128) * MB;
const WARM_UP = Math.min(256 * MB, VOLUME);
/** More than may be kept, where one end is slow. */
const SLOW_VOLUME = Math.min(256 * MB, VOLUME);
/** What the memory may grow by, whatever the volume. */
const GROWTH = 64 * MB;
const SAMPLE_MS = 100;
const CHUNK = Buffer.alloc(65_536, 'x');
/** A slow end rests this long after each of its first chunks. */
const REST_MS = 2;
const SLOW_CHUNKS = 500;

let database: TestDatabase;
let upstream: TestServer;
let facade: Running;
let url: string;
let config: { file: string; remove(): void };

beforeAll(async () => {
  database = await createControl();
  upstream = await serve((req, res) => {
    const { pathname, searchParams } = new URL(req.url ?? '', 'http://upstream');
    if (pathname === '/down') pipeline(bytes(Number(searchParams.get('bytes'))), res).catch(ignore);
    else swallow(req, searchParams.has('slow')).then((size) => res.end(String(size)), ignore);
  });
  config = writeConfig({
    control: database.url,
    monolith: { upstream: upstream.url },
    services: { catalog: { upstream: upstream.url } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/products'] } },
    // Memory is what is measured here: on a busy machine the upstream may take its time.
    facade: { timeoutMs: 30_000 },
  });
  facade = startBanyan([
    ...['--config', config.file, '--json', 'facade', '--port', '0', '--admin-port', '0'],
  ]);
  await facade.says('"ready"');
  url = (JSON.parse(facade.stdout()) as { url: string }).url;
});

afterAll(async () => {
  facade.child.kill('SIGTERM');
  await facade.exited;
  await upstream.close();
  config.remove();
  await database.drop();
});

function ignore(): void {
  return undefined;
}

/** A stream of that many bytes. */
function bytes(size: number): Readable {
  let left = size;
  return new Readable({
    read() {
      const now = Math.min(left, CHUNK.length);
      left -= now;
      this.push(now === 0 ? null : CHUNK.subarray(0, now));
    },
  });
}

/** Reads to the end, as fast as it comes or slowly at first; gives the number of bytes. */
async function swallow(from: Readable, slowly: boolean): Promise<number> {
  let size = 0;
  let chunks = 0;
  const take = async (chunk: Buffer): Promise<void> => {
    size += chunk.length;
    if (slowly && chunks++ < SLOW_CHUNKS) await sleep(REST_MS);
  };
  await pipeline(
    from,
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        take(chunk).then(() => {
          done();
        }, done);
      },
    }),
  );
  return size;
}

function open(path: string, method: string, body?: Readable): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request(url + path, { method, agent: false }, resolve);
    sent.on('error', reject);
    if (body) pipeline(body, sent).catch(reject);
    else sent.end();
  });
}

async function down(size: number, slowly = false): Promise<void> {
  const answer = await open(`/down?bytes=${size}`, 'GET');
  expect(await swallow(answer, slowly)).toBe(size);
}

async function up(size: number, slowly = false): Promise<void> {
  const answer = await open(slowly ? '/up?slow' : '/up', 'POST', bytes(size));
  expect(answer.statusCode).toBe(200);
  expect((await answer.setEncoding('utf8').toArray()).join('')).toBe(String(size));
}

/** By how much the facade's memory rose at most while this ran. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
  const { pid } = facade.child;
  if (pid === undefined) throw new Error('the facade has no process');
  const before = rssBytes(pid);
  let most = before;
  const over = new AbortController();
  const watching = (async () => {
    while (!over.signal.aborted) {
      most = Math.max(most, rssBytes(pid));
      await sleep(SAMPLE_MS, over.signal);
    }
  })();
  try {
    await work();
  } finally {
    over.abort();
    await watching;
  }
  return most - before;
}

test(
  `${VOLUME / MB} MB each way leave the memory where it was`,
  async () => {
    // The first bytes pay for buffers that every later one uses again.
    await Promise.all([down(WARM_UP), up(WARM_UP)]);
    const figures: Record<string, number> = {};
    for (const [name, work] of Object.entries({
      down: () => down(VOLUME),
      up: () => up(VOLUME),
      'to a slow reader': () => down(SLOW_VOLUME, true),
      'to a slow upstream': () => up(SLOW_VOLUME, true),
    }))
      figures[name] = await growthDuring(work);
    process.stderr.write(
      `memory grew by at most: ${Object.entries(figures)
        .map(([name, growth]) => `${name} ${Math.round(growth / MB)} MB`)
        .join(', ')}\n`,
    );
    for (const growth of Object.values(figures)) expect(growth).toBeLessThan(GROWTH);
  },
  120_000 + (VOLUME / MB) * 300,
);
