import { createServer, type RequestListener } from 'node:http';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, test } from '@jest/globals';
import { defineMigration } from '../control/define.ts';
import type { MigrationInput } from '../control/definition.ts';
import type { ShadowMismatch } from '../control/shadow-counts.ts';
import { createLogger } from '../core/log.ts';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';
import { call, eventually, json, serve } from '../test/support/http.ts';
import { createShadow, type Shadow } from './shadow.ts';
import { Tally } from './tally.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Rig {
  readonly edge: TestEdge;
  readonly shadow: Shadow;
  /** What came of all copies so far: `eligible`, `matched`, `mismatched`, `dropped-…`. */
  outcomes(): Record<string, number>;
  readonly noise: () => number;
  readonly undecided: () => number;
  readonly mismatches: () => Promise<ShadowMismatch[]>;
  /** Called when a recheck waits for the watermark. */
  caughtUp: () => Promise<boolean>;
  wanted: boolean;
  overloaded: boolean;
  get(path?: string, headers?: Record<string, string>): ReturnType<typeof call>;
  settled(): Promise<void>;
}

async function rig(
  control: RequestListener,
  candidate: RequestListener,
  given: {
    facade?: MigrationInput['facade'];
    shadow?: MigrationInput['capabilities'][string]['shadow'];
  } = {},
): Promise<Rig> {
  const monolith = await serve(control);
  const service = await serve(candidate, createServer());
  const urls = { monolith: monolith.url, services: { catalog: service.url } };
  const migration = defineMigration({
    monolith: {
      upstream: monolith.url,
      database: { capture: 'c', applier: 'a', coordinator: 'o' },
    },
    services: {
      catalog: {
        upstream: service.url,
        database: { capture: 'c', applier: 'a', coordinator: 'o' },
      },
    },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/products', '/api/products/:id'],
        tables: [{ monolith: 'p', service: 'p', key: { id: 'id' } }],
        ...(given.shadow ? { shadow: given.shadow } : {}),
      },
    },
    // What copies may cost is not what is looked at here; a busy machine makes each cost more.
    facade: { ...given.facade, shadow: { cpu: 1, ...given.facade?.shadow } },
  });
  const stored: ShadowMismatch[] = [];
  const tally = new Tally({
    log: createLogger({}, 'silent'),
    evidence: {
      addShadow: (_counts, mismatches) => {
        stored.push(...mismatches);
        return Promise.resolve();
      },
    },
  });
  const shadow = createShadow({
    migration,
    upstreams: urls,
    tally,
    clock: { caughtUp: () => self.caughtUp() },
    log: createLogger({}, 'silent'),
    // Clients, edge and upstreams share this process: it has no time to spare.
    freeMs: () => performance.now(),
    version: () => (self.wanted ? 1 : undefined),
    isOverloaded: () => self.overloaded,
  });
  const edge = await serveEdge({
    monolith: monolith.url,
    service: service.url,
    tables: true,
    shadow,
    ...(given.facade ? { facade: given.facade } : {}),
  });
  edge.set({ phase: 'shadow' });
  open.push(monolith, service, edge, shadow);
  const totals = () => tally.totals().get('catalog');
  const self: Rig = {
    edge,
    shadow,
    outcomes: () => {
      const { matched = 0, mismatched = 0, pending = 0, dropped = [] } = totals() ?? {};
      const told = [...dropped].map(([reason, count]) => [`dropped-${reason}`, count] as const);
      const all = [['matched', matched], ['mismatched', mismatched], ...told] as const;
      return Object.fromEntries([
        ['eligible', all.reduce((sum, [, count]) => sum + count, pending)],
        ...all.filter(([, count]) => count > 0),
      ]);
    },
    noise: () => totals()?.noise ?? 0,
    undecided: () => totals()?.undecided ?? 0,
    caughtUp: () => Promise.resolve(true),
    wanted: true,
    overloaded: false,
    get: (path = '/api/products/1', headers = {}) => call(edge.url + path, { headers }),
    mismatches: async () => {
      await tally.flush();
      return stored;
    },
    settled: () => eventually('every copy to be decided', () => (totals()?.pending ?? 0) === 0),
  };
  return self;
}

const product = (change: object = {}): object => ({
  id: 1,
  price: '12.50',
  updatedAt: 1,
  ...change,
});

describe('what the comparison finds', () => {
  test('equal answers match, whatever order and spacing they are written in', async () => {
    const it = await rig(json({ a: 1, b: [1] }), (req, res) => {
      req.resume();
      res.setHeader('content-type', 'application/json; charset=utf-8');
      res.end('{ "b": [1.0], "a": 1 }');
    });
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, matched: 1 });
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ])('nor does it matter that the candidate compresses, by %s', async (coding, compress) => {
    const it = await rig(json(product()), (req, res) => {
      req.resume();
      res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': coding });
      res.end(compress(JSON.stringify(product(), null, 2)));
    });
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, matched: 1 });
  });

  test('numbers within the tolerance match', async () => {
    const it = await rig(
      json({ items: [product()] }),
      json({ items: [product({ price: '12.51' })] }),
      {
        shadow: { tolerance: { 'items.*.price': 0.01 } },
      },
    );
    await it.get('/api/products');
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, matched: 1 });
  });

  test('a wrong price is found at its route and path, with an example', async () => {
    const it = await rig(
      json({ items: [product()] }),
      json({ items: [product({ price: '12.51' })] }),
    );
    expect(await it.get('/api/products?page=1')).toMatchObject({ status: 200 });
    await it.settled();
    expect(it.outcomes()['mismatched']).toBe(1);
    expect(await it.mismatches()).toEqual([
      {
        capability: 'catalog',
        route: 'GET /api/products',
        version: 1,
        path: 'items.*.price',
        count: 1,
        example: { url: '/api/products?page=1', control: '12.50', candidate: '12.51' },
      },
    ]);
  });

  test('noise that is known costs no repetition, and is counted', async () => {
    let asked = 0;
    const noisy: RequestListener = (req, res) => {
      json(product({ updatedAt: Math.random() }))(req, res);
    };
    const it = await rig(
      noisy,
      (req, res) => {
        asked += 1;
        noisy(req, res);
      },
      { shadow: { noise: { sample: 0 } } },
    );
    await it.get();
    await it.settled();
    asked = 0;
    for (let nth = 0; nth < 10; nth++) await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 11, matched: 11 });
    expect([asked, it.noise()]).toEqual([10, 11]);
  });

  test('data that is only late is no mismatch', async () => {
    let arrived = false;
    const it = await rig(json(product({ price: '2' })), (req, res) => {
      json(product({ price: arrived ? '2' : '1' }))(req, res);
    });
    it.caughtUp = () => {
      arrived = true;
      return Promise.resolve(true);
    };
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, matched: 1 });
  });

  test('a watermark that does not pass leaves it undecided', async () => {
    const it = await rig(json(product()), json(product({ price: '1' })));
    it.caughtUp = () => Promise.resolve(false);
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, 'dropped-not-synced': 1 });
  });

  test('ignored places and compressed answers are no mismatch', async () => {
    const control: RequestListener = (req, res) => {
      if (!req.headers['accept-encoding']?.includes('gzip')) json(product())(req, res);
      else {
        res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
        res.end(gzipSync(JSON.stringify(product())));
      }
    };
    const asked: unknown[] = [];
    const it = await rig(
      control,
      (req, res) => {
        asked.push([req.headers['accept-encoding'], req.headers['if-none-match']]);
        json(product({ updatedAt: 2 }))(req, res);
      },
      { shadow: { ignore: ['updatedAt'] } },
    );
    await it.get('/api/products/1', { 'accept-encoding': 'gzip', 'if-none-match': '"x"' });
    await it.settled();
    expect(asked).toEqual([['identity', undefined]]);
    expect(it.outcomes()).toEqual({ eligible: 1, matched: 1 });
  });

  test('a candidate that refuses, breaks off or talks nonsense is a mismatch', async () => {
    const it = await rig(json(product()), (req) => {
      req.socket.end('nonsense\r\n\r\n');
    });
    expect(await it.get()).toMatchObject({ status: 200 });
    await it.settled();
    expect(await it.mismatches()).toMatchObject([{ path: 'status', example: { control: 200 } }]);
  });
});

describe('what the client notices of it', () => {
  test('nothing, when the candidate hangs: every answer is as fast as without', async () => {
    let hanging = 0;
    const it = await rig(
      json(product()),
      () => {
        hanging += 1;
      },
      // They hang for longer than all of this may take on a busy machine.
      { facade: { timeoutMs: 30_000, shadow: { concurrency: 40, bytesPerSecond: 1e8 } } },
    );
    const usualMs = async (): Promise<number> => {
      const times: number[] = [];
      for (let nth = 0; nth < 50; nth++) {
        const began = performance.now();
        expect(await it.get()).toMatchObject({ status: 200 });
        times.push(performance.now() - began);
      }
      return times.sort((a, b) => a - b)[25] ?? NaN;
    };
    it.edge.set({ phase: 'sync' });
    const without = await usualMs();
    it.edge.set({ phase: 'shadow' });
    expect(await usualMs()).toBeLessThan(3 * without + 20);
    await eventually('the slots to be taken', () => hanging === 40);
    expect(it.outcomes()['eligible']).toBe(50);
    expect(it.outcomes()['dropped-busy']).toBe(10);
  });

  test('nothing in the answer: the copy carries a mark, the client’s own request none', async () => {
    const marks: unknown[] = [];
    const it = await rig(
      (req, res) => {
        marks.push(['control', req.headers['x-banyan-shadow'], req.headers.authorization]);
        json(product())(req, res);
      },
      (req, res) => {
        marks.push(['candidate', req.headers['x-banyan-shadow'], req.headers.authorization]);
        res.setHeader('set-cookie', 'candidate=1');
        json(product())(req, res);
      },
    );
    const reply = await it.get('/api/products/1', { authorization: 'Bearer t' });
    await it.settled();
    expect(marks).toEqual([
      ['control', undefined, 'Bearer t'],
      ['candidate', '1', 'Bearer t'],
      // A route's first reads are asked of the control twice, to know its noise.
      ['control', '1', 'Bearer t'],
    ]);
    expect(reply.headers).not.toHaveProperty('set-cookie');
  });

  test('writes are never copied, and reads only in shadow', async () => {
    const seen: string[] = [];
    const it = await rig(json(product()), (req, res) => {
      seen.push(`${req.method} ${req.url}`);
      json(product())(req, res);
    });
    await call(`${it.edge.url}/api/products`, { method: 'POST', body: '{}' });
    await call(`${it.edge.url}/orders`);
    it.edge.set({ phase: 'sync' });
    await it.get();
    it.edge.set({ phase: 'shadow' });
    await it.get();
    await it.settled();
    expect(seen).toEqual(['GET /api/products/1']);
    expect(it.outcomes()['eligible']).toBe(1);
  });
});

describe('what does not fit is dropped and counted', () => {
  test('an answer over the limit, announced or not', async () => {
    const big = 'x'.repeat(5_000);
    const it = await rig(
      (req, res) => {
        res.setHeader('content-type', 'application/json');
        if (req.url?.includes('chunked')) {
          res.write(JSON.stringify(big).slice(0, 100));
          res.end(JSON.stringify(big).slice(100));
        } else json(big)(req, res);
      },
      json(product()),
      { facade: { shadow: { bodyBytes: 1_000 } } },
    );
    expect((await it.get('/api/products/1')).body).toBe(JSON.stringify(big));
    expect((await it.get('/api/products/chunked')).body).toBe(JSON.stringify(big));
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 2, 'dropped-too-large': 2 });
  });

  test('a candidate’s answer over the limit, however it is compressed', async () => {
    const it = await rig(
      json(product()),
      (_req, res) => {
        res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
        res.end(gzipSync('"' + 'x'.repeat(1_000_000) + '"'));
      },
      { facade: { shadow: { bodyBytes: 10_000 } } },
    );
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({ eligible: 1, 'dropped-too-large': 1 });
  });

  test('an answer to a condition, a control that fails, a phase that ends', async () => {
    let status = 304;
    const it = await rig(
      (req, res) => {
        if (status === 0) req.socket.destroy();
        else json(product(), status)(req, res);
      },
      json(product({ price: '1' })),
    );
    await it.get();
    await it.settled();
    status = 0;
    expect(await it.get()).toMatchObject({ status: 502 });
    status = 200;
    it.caughtUp = () => {
      it.wanted = false;
      return Promise.resolve(true);
    };
    await it.get();
    await it.settled();
    expect(it.outcomes()).toEqual({
      eligible: 3,
      'dropped-partial': 1,
      'dropped-control-failed': 1,
      'dropped-over': 1,
    });
  });

  test('repetitions over their limit', async () => {
    const it = await rig(json(product()), json(product({ price: '1' })), {
      facade: { shadow: { concurrency: 1 } },
    });
    const held: ((caughtUp: boolean) => void)[] = [];
    it.caughtUp = () => new Promise((resolve) => held.push(resolve));
    for (let nth = 0; nth < 9; nth++) {
      await it.get();
      await eventually('it to wait or to be dropped', () => {
        return held.length + (it.outcomes()['dropped-recheck-busy'] ?? 0) === nth + 1;
      });
    }
    expect(it.outcomes()['dropped-recheck-busy']).toBe(1);
    for (const resolve of held) resolve(false);
    await it.settled();
  });

  test('what is undecided at the end, and the end does not wait for it', async () => {
    const it = await rig(json(product()), () => undefined, { facade: { timeoutMs: 3_600_000 } });
    await it.get();
    await eventually('the copy', () => it.outcomes()['eligible'] === 1);
    await it.shadow.close();
    // It was given up, and has not differed.
    expect([it.outcomes(), it.undecided()]).toEqual([{ eligible: 1, 'dropped-over': 1 }, 0]);
  });
});
