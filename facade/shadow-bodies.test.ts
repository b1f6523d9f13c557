// Reads with a body, a search say: their copies ask with the same one, as long as it was kept.
import { afterEach, expect, test } from '@jest/globals';
import { defineMigration } from '../control/define.ts';
import { createLogger } from '../core/log.ts';
import { serveEdge } from '../test/support/edge.ts';
import { call, eventually, readAll, serve, wire, type TestServer } from '../test/support/http.ts';
import { createShadow } from './shadow.ts';
import { Tally, type ShadowTotals } from './tally.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Rig {
  readonly port: number;
  readonly url: string;
  readonly inFlight: () => number;
  /** What the service was asked: type, length and body. */
  readonly asked: string[];
  readonly totals: () => Readonly<ShadowTotals> | undefined;
}

/** The service is wrong for so many times. */
async function rig({ wrongTimes = 0 } = {}): Promise<Rig> {
  const asked: string[] = [];
  const side = (seen?: string[]): Promise<TestServer> =>
    serve((req, res) => {
      void readAll(req).then((body) => {
        const { 'content-type': type, 'content-length': length } = req.headers;
        seen?.push(`${type} ${length} ${body.toString()}`);
        const wrong = seen !== undefined && seen.length <= wrongTimes;
        res.setHeader('content-type', 'application/json');
        res.end(JSON.stringify({ found: wrong ? 'nothing' : body.toString() }));
      });
    });
  const [monolith, service] = [await side(), await side(asked)];
  const routes = [{ methods: ['POST' as const], path: '/search', kind: 'read' as const }];
  const retry = { bodyBytes: 1_000 };
  const migration = defineMigration({
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: service.url } },
    capabilities: { catalog: { service: 'catalog', routes: routes } },
    facade: { retry, shadow: { cpu: 1 } },
  });
  const log = createLogger({}, 'silent');
  const tally = new Tally({ log, evidence: { addShadow: () => Promise.resolve() } });
  const shadow = createShadow({
    migration,
    upstreams: { monolith: monolith.url, services: { catalog: service.url } },
    tally,
    clock: { caughtUp: () => Promise.resolve(true) },
    log,
    freeMs: () => performance.now(),
    version: () => 1,
  });
  const edge = await serveEdge({
    monolith: monolith.url,
    service: service.url,
    routes: routes,
    facade: { retry },
    shadow,
  });
  open.push(monolith, service, edge, shadow);
  edge.set({ phase: 'shadow' });
  return {
    port: edge.port,
    url: edge.url,
    inFlight: edge.edge.inFlight,
    asked,
    totals: () => tally.totals().get('catalog'),
  };
}

test('a body that comes with its head, or in pieces after it', async () => {
  const { port, url, inFlight, asked, totals } = await rig();
  const body = '{"text":"é"}';
  const headers = { 'content-type': 'application/json' };
  await call(`${url}/search`, { method: 'POST', headers, body });
  const client = await wire(port);
  client.send(
    'POST /search HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  client.send('3\r\none\r\n');
  await eventually('its head to arrive', () => inFlight() === 1);
  client.send('3\r\ntwo\r\n0\r\n\r\n');
  await client.until(/onetwo/);
  client.socket.destroy();
  await eventually('both to be compared', () => totals()?.matched === 2);
  expect(asked).toEqual([
    `application/json ${Buffer.byteLength(body)} ${body}`,
    'text/plain 6 onetwo',
  ]);
});

test('a difference is looked at again with the same body', async () => {
  const { url, asked, totals } = await rig({ wrongTimes: 1 });
  await call(`${url}/search`, { method: 'POST', body: 'a' });
  await eventually('it to be compared', () => totals()?.matched === 1);
  expect(asked.map((one) => one.split(' ').at(-1))).toEqual(['a', 'a']);
});

test('one that was too large to keep is dropped, and counted', async () => {
  const { url, asked, totals } = await rig();
  await call(`${url}/search`, { method: 'POST', body: 'x'.repeat(1_001) });
  await eventually('it to be dropped', () => totals()?.dropped.get('has-body') === 1);
  expect([asked, totals()?.pending]).toEqual([[], 0]);
});
