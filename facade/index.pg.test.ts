import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import express from 'express';
import { WebSocketServer } from 'ws';
import { defineMigration } from '../control/define.ts';
import type { Migration } from '../control/definition.ts';
import { sleep } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { call, serve, serveSide, type Side } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { begin, closeAll, handshake, rawWire, serveEcho, until } from '../test/support/tunnels.ts';
import { createFacade } from './index.ts';

let database: TestDatabase;
const open: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  database = await createControl();
});

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

afterAll(async () => {
  await database.drop();
});

function migrationTo(monolith: string, service: string): Migration {
  return defineMigration({
    monolith: { upstream: monolith },
    services: { catalog: { upstream: service } },
    capabilities: {
      catalog: { service: 'catalog', routes: ['/api/products', '/api/products/:id'] },
    },
  });
}

async function side(name: string): Promise<Side> {
  const self = await serveSide(name);
  open.push(self);
  return self;
}

describe('the middleware', () => {
  test('an unusable route or a missing upstream is told before anything starts', () => {
    const migration = migrationTo('http://m', 'http://s');
    const options = {
      migration,
      upstreams: { monolith: 'http://m', services: {} },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    };
    expect(() => createFacade(options)).toThrow('no upstream is given for service "catalog"');
    const broken = { monolith: 'postgres://u:secret@h/d', services: { catalog: 'http://s' } };
    expect(() => createFacade({ ...options, upstreams: broken })).toThrow(
      'not an http or https URL',
    );
  });

  test('answers what is claimed, also under a mount path, and hands on everything else', async () => {
    const monolith = await side('monolith');
    const service = await side('service');
    const facade = createFacade({
      migration: migrationTo(monolith.url, service.url),
      upstreams: { monolith: monolith.url, services: { catalog: service.url } },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    });
    const app = express();
    app.use('/api', facade.middleware);
    app.use(express.json());
    app.post('/api/products-of-old', (req, res) => {
      res.json({ by: 'app', got: req.body as unknown });
    });
    const server = await serve(() => undefined, createServer(app));
    open.push(server);
    expect(await call(`${server.url}/api/products`)).toMatchObject({ status: 503 });
    const stop = new AbortController();
    const ready = Promise.withResolvers<undefined>();
    const ended = facade.part.run(stop.signal, () => {
      ready.resolve(undefined);
    });
    open.push({
      close: async () => {
        stop.abort();
        await ended;
      },
    });
    await ready.promise;
    const body = JSON.stringify({ name: 'n' });
    const headers = { 'content-type': 'application/json' };
    expect(
      await call(`${server.url}/api/products`, { method: 'POST', headers, body }),
    ).toMatchObject({
      body: '{"by":"monolith"}',
    });
    expect(monolith.seen).toEqual([`POST /api/products ${body}`]);
    const own = await call(`${server.url}/api/products-of-old`, { method: 'POST', headers, body });
    expect(JSON.parse(own.body)).toEqual({ by: 'app', got: { name: 'n' } });
    // Only some would read it as the claimed route; while the monolith owns that, it may have it.
    expect(await call(`${server.url}/api//products`)).toMatchObject({ status: 200 });
  });

  test('keeps every Set-Cookie of the upstream beside the fields that the application has set', async () => {
    const answer: RequestListener = (_req, res) => {
      res.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']);
      res.end('ok');
    };
    const monolith = await serve(answer);
    open.push(monolith);
    const facade = createFacade({
      migration: migrationTo(monolith.url, monolith.url),
      upstreams: { monolith: monolith.url, services: { catalog: monolith.url } },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    });
    const app = express();
    app.use((_req, res, next) => {
      res.cookie('own', 'x');
      next();
    });
    app.use(facade.middleware);
    const server = await serve(() => undefined, createServer(app));
    open.push(server);
    const stop = new AbortController();
    const ready = Promise.withResolvers<undefined>();
    const ended = facade.part.run(stop.signal, () => {
      ready.resolve(undefined);
    });
    await ready.promise;
    const reply = await call(`${server.url}/api/products`);
    expect(reply.headers['set-cookie']).toEqual(
      expect.arrayContaining(['a=1', 'b=2', 'own=x; Path=/']),
    );
    expect(reply.headers['x-powered-by']).toBe('Express');
    stop.abort();
    await ended;
  });

  test('told to stop, it lets requests in flight have their answers, and refuses what comes after', async () => {
    const arrived = Promise.withResolvers<undefined>();
    const go = Promise.withResolvers<undefined>();
    const monolith = await serve((_req, res) => {
      arrived.resolve(undefined);
      void go.promise.then(() => res.end('done'));
    });
    open.push(monolith);
    const facade = createFacade({
      migration: migrationTo(monolith.url, monolith.url),
      upstreams: { monolith: monolith.url, services: { catalog: monolith.url } },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    });
    const app = express();
    app.use(facade.middleware);
    const server = await serve(() => undefined, createServer(app));
    open.push(server);
    const stop = new AbortController();
    const ready = Promise.withResolvers<undefined>();
    let isOver = false;
    const ended = facade.part
      .run(stop.signal, () => {
        ready.resolve(undefined);
      })
      .then(() => (isOver = true));
    await ready.promise;
    const answer = call(`${server.url}/api/products`, { method: 'POST', body: 'x' });
    await arrived.promise;
    stop.abort();
    await sleep(300);
    expect(isOver).toBe(false);
    go.resolve(undefined);
    expect(await answer).toMatchObject({ status: 200, body: 'done' });
    await ended;
    expect(await call(`${server.url}/api/products`)).toMatchObject({ status: 503 });
  });

  test('answers upgrades that are claimed, and leaves all others to the application', async () => {
    const monolith = await serveEcho('monolith');
    const facade = createFacade({
      migration: migrationTo(monolith.url, monolith.url),
      upstreams: { monolith: monolith.url, services: { catalog: monolith.url } },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    });
    const app = express();
    app.use(facade.middleware);
    app.use((req, res) => {
      res.json({ by: 'app', upgrade: req.headers.upgrade ?? null });
    });
    const server = await serve(() => undefined, createServer(app));
    open.push({ close: closeAll }, server);
    const stop = new AbortController();
    const ready = Promise.withResolvers<undefined>();
    const ended = facade.part.run(stop.signal, () => {
      ready.resolve(undefined);
    });
    await ready.promise;
    const alone = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
      facade.upgrade(req, socket, head);
    };
    server.server.on('upgrade', alone);
    const claimed = await begin(server.port, '/api/products').opened;
    claimed.ws.send('hi');
    await until(claimed, 'monolith hi');
    const raw = await rawWire(server.port);
    raw.send(handshake('/own'));
    await raw.until(/200 OK[^]*{"by":"app","upgrade":null}/);

    const own = new WebSocketServer({ noServer: true });
    const accept = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
      own.handleUpgrade(req, socket, head, (ws) => {
        ws.send('own');
      });
    };
    server.server.off('upgrade', alone).on('upgrade', (req, socket, head) => {
      facade.upgrade(req, socket, head, () => {
        accept(req, socket, head);
      });
    });
    await until(await begin(server.port, '/own').opened, 'own');
    server.server.removeAllListeners('upgrade').on('upgrade', alone);
    server.server.on('upgrade', (req, socket, head) => {
      if (req.url === '/own') accept(req, socket, head);
    });
    await until(await begin(server.port, '/own').opened, 'own');
    for (const ws of own.clients) ws.terminate();
    stop.abort();
    await ended;
    expect(await claimed.closed).toBe(1001);
  });

  test('behind a body parser it fails with an answer instead of hanging, and only where it answers', async () => {
    const monolith = await side('monolith');
    const facade = createFacade({
      migration: migrationTo(monolith.url, monolith.url),
      upstreams: { monolith: monolith.url, services: { catalog: monolith.url } },
      controlUrl: database.url,
      log: createLogger({}, 'silent'),
    });
    const app = express();
    app.use(express.json(), facade.middleware);
    app.post('/own', (req, res) => {
      res.json(req.body);
    });
    const server = await serve(() => undefined, createServer(app));
    open.push(server);
    const headers = { 'content-type': 'application/json' };
    const reply = await call(`${server.url}/api/products`, { method: 'POST', headers, body: '{}' });
    expect(reply.status).toBe(500);
    expect(reply.body).toContain('before body parsers');
    expect(
      await call(`${server.url}/own`, { method: 'POST', headers, body: '{"a":1}' }),
    ).toMatchObject({ status: 200, body: '{"a":1}' });
  });
});
