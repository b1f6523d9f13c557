// Whatever the service does that a copy is sent to, the client's read is none the worse: its answer
// comes whole, before the copy's end, and no error with it. The figures add up at every scrape.
import { createServer } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { serveEdge } from '../test/support/edge.ts';
import { call, eventually, json, serve, serveBytes } from '../test/support/http.ts';
import { MISBEHAVIOURS, type Misbehaviour } from '../test/support/misbehaving.ts';
import { defineMigration } from '../control/define.ts';
import { sleep } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { registerShadowMetrics } from './shadow-metrics.ts';
import { createShadow, type Shadow } from './shadow.ts';
import { Tally } from './tally.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const TEXT = JSON.stringify({ id: 1, price: '12.50', text: 'x'.repeat(2_000) });

interface Rig {
  readonly url: string;
  readonly shadow: Shadow;
  readonly tally: Tally;
  overloaded: boolean;
  /** Set where clients leave so much of the processor's time. */
  readonly free: { ms: number | undefined };
  /** The clock of probes. */
  readonly clock: { ms: number };
  /** The figures of one scrape: by name, summed over labels. */
  scrape(): Promise<Record<string, number>>;
}

/** A copy has 200 ms, where its end is waited for; otherwise as long as the test may take. */
async function rig(script: Misbehaviour, given: object = {}, timeoutMs = 60_000): Promise<Rig> {
  const monolith = await serve((req, res) => {
    json(JSON.parse(TEXT))(req, res);
  }, createServer());
  const service = await serveBytes(script);
  const urls = { monolith: monolith.url, services: { catalog: service.url } };
  const migration = defineMigration({
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: service.url } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/products/:id'] } },
    facade: { timeoutMs, shadow: { concurrency: 4, bodyBytes: 50_000, cpu: 1, ...given } },
  });
  const free: Rig['free'] = { ms: undefined };
  const clock: Rig['clock'] = { ms: 0 };
  const tally = new Tally({
    log: createLogger({}, 'silent'),
    evidence: { addShadow: () => Promise.resolve() },
  });
  const registry = new Registry();
  registerShadowMetrics(registry, () => tally.totals());
  const shadow = createShadow({
    migration,
    upstreams: urls,
    tally,
    clock: { caughtUp: () => Promise.resolve(true) },
    log: createLogger({}, 'silent'),
    version: () => 1,
    isOverloaded: () => self.overloaded,
    freeMs: () => free.ms ?? performance.now(),
    now: () => clock.ms,
  });
  const edge = await serveEdge({ monolith: monolith.url, service: service.url, shadow });
  edge.set({ phase: 'shadow' });
  open.push(monolith, service, edge, shadow);
  const self: Rig = {
    url: `${edge.url}/api/products/1`,
    shadow,
    tally,
    overloaded: false,
    free,
    clock,
    scrape: async () => {
      const sums: Record<string, number> = {};
      for (const [, name = '', value = ''] of (await registry.metrics()).matchAll(
        /^(\w+)\{.*\} (\d+)$/gm,
      ))
        sums[name] = (sums[name] ?? 0) + Number(value);
      return sums;
    },
  };
  return self;
}

/** eligible = compared + Σ dropped, in one scrape. */
function expectIdentity(sums: Record<string, number>): void {
  const { banyan_shadow_eligible_total: eligible = 0 } = sums;
  const { banyan_shadow_compared_total: compared = 0, banyan_shadow_dropped_total: dropped = 0 } =
    sums;
  expect(compared + dropped).toBe(eligible);
}

describe('clients notice nothing of a service that', () => {
  test.each(Object.entries(MISBEHAVIOURS))('%s', async (_name, script) => {
    const it = await rig(script, {}, 200);
    for (let round = 0; round < 10; round++) {
      const replies = await Promise.all(Array.from({ length: 4 }, () => call(it.url)));
      for (const reply of replies) expect([reply.status, reply.body]).toEqual([200, TEXT]);
    }
    await it.shadow.close();
    const sums = await it.scrape();
    expectIdentity(sums);
    expect(sums['banyan_shadow_eligible_total']).toBe(40);
    expect(sums['banyan_shadow_pending']).toBe(0);
    expect(it.tally.totals().get('catalog')?.matched).toBe(0);
  });
});

test('the identity holds at every scrape in the middle of load, and what is under way is pending', async () => {
  const waiting: (() => void)[] = [];
  const it = await rig((socket) => {
    socket.on('data', () => {
      waiting.push(() => {
        socket.write(
          `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${TEXT.length}\r\n\r\n${TEXT}`,
        );
      });
    });
  });
  const over = new AbortController();
  let scrapes = 0;
  let mostPending = 0;
  const scraping = (async () => {
    while (!over.signal.aborted) {
      const sums = await it.scrape();
      expectIdentity(sums);
      scrapes += 1;
      mostPending = Math.max(mostPending, sums['banyan_shadow_pending'] ?? 0);
      await new Promise(setImmediate);
    }
  })();
  const answering = (async () => {
    while (!over.signal.aborted) {
      for (const answer of waiting.splice(0)) answer();
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let nth = 0; nth < 40; nth++) expect((await call(it.url)).status).toBe(200);
    }),
  );
  await eventually('every copy to be decided', async () => {
    return (await it.scrape())['banyan_shadow_pending'] === 0;
  });
  over.abort();
  await Promise.all([scraping, answering]);
  expect((await it.scrape())['banyan_shadow_eligible_total']).toBe(320);
  expect(it.tally.totals().get('catalog')?.matched).toBeGreaterThan(10);
  expect(scrapes).toBeGreaterThan(20);
  expect(mostPending).toBeGreaterThan(0);
});

describe('copies give way', () => {
  const quiet: Misbehaviour = (socket) => {
    socket.resume();
  };

  test('first of all to an edge that is overloaded', async () => {
    const it = await rig(quiet);
    it.overloaded = true;
    await call(it.url);
    it.overloaded = false;
    await call(it.url);
    await it.shadow.close();
    expect(Object.fromEntries(it.tally.totals().get('catalog')?.dropped ?? [])).toEqual({
      shed: 1,
      over: 1,
    });
  });

  test('when their share of the processor or their memory is used up', async () => {
    const poor = await rig(quiet, { cpu: 0 });
    await call(poor.url);
    expect(Object.fromEntries(poor.tally.totals().get('catalog')?.dropped ?? [])).toEqual({
      cpu: 1,
    });
    const small = await rig(quiet, { bodyBytes: 2_500, memoryBytes: 10_000, concurrency: 100 });
    for (let nth = 0; nth < 10; nth++) await call(small.url);
    const { dropped, pending } = small.tally.totals().get('catalog') ?? {};
    expect(pending).toBeLessThanOrEqual(4);
    expect(dropped?.get('memory')).toBe(10 - (pending ?? 0));
  });

  test('when clients leave none of the processor’s time, and not any more once they do', async () => {
    const it = await rig(quiet, { cpu: 0.002 }, 200);
    let free = performance.now();
    it.free.ms = free;
    const totals = () => it.tally.totals().get('catalog');
    const refused = (): number => totals()?.dropped.get('cpu') ?? 0;
    while (refused() === 0) await call(it.url);
    await sleep(1_000);
    await call(it.url);
    expect(refused()).toBe(2);
    await eventually('the copies to be decided', () => {
      // Their repetitions wait for the processor too.
      it.free.ms = free += 60_000;
      return totals()?.pending === 0;
    });
    it.free.ms = free += 60_000;
    await call(it.url);
    expect(refused()).toBe(2);
  });

  test('when it is time for their repetitions, which wait for the processor as well', async () => {
    const it = await rig((socket) => socket.on('data', () => socket.resetAndDestroy()), {
      cpu: 0.002,
    });
    it.free.ms = performance.now();
    const totals = () => it.tally.totals().get('catalog');
    await call(it.url);
    await sleep(500);
    expect(totals()).toMatchObject({ pending: 1, mismatched: 0 });
    await call(it.url);
    expect(totals()?.dropped.get('cpu')).toBe(1);
    await eventually('it to be decided', () => {
      // Every question overdraws what has gathered.
      it.free.ms = (it.free.ms ?? 0) + 60_000;
      return totals()?.pending === 0;
    });
    expect(totals()?.mismatched).toBe(1);
  });

  test('when a candidate has not answered for a while, until it does', async () => {
    let answers = false;
    const it = await rig((socket) =>
      socket.on('data', () => {
        if (answers)
          socket.end(
            `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${TEXT.length}\r\n\r\n${TEXT}`,
          );
        else socket.resetAndDestroy();
      }),
    );
    const totals = () => it.tally.totals().get('catalog');
    const copy = async (): Promise<void> => {
      await call(it.url);
      await eventually('the copy to be decided', () => totals()?.pending === 0);
    };
    for (let nth = 0; nth < 10; nth++) await copy();
    expect(totals()).toMatchObject({ mismatched: 10 });
    await copy();
    expect(totals()?.dropped.get('ejected')).toBe(1);
    // A probe in a second.
    it.clock.ms += 999;
    await copy();
    expect(totals()?.dropped.get('ejected')).toBe(2);
    it.clock.ms += 1;
    await copy();
    await copy();
    expect(totals()).toMatchObject({ mismatched: 11 });
    expect(totals()?.dropped.get('ejected')).toBe(3);
    answers = true;
    it.clock.ms += 1_000;
    for (let nth = 0; nth < 3; nth++) await copy();
    expect(totals()).toMatchObject({ mismatched: 11, matched: 3 });
    expect(totals()?.dropped.get('ejected')).toBe(3);
    expectIdentity(await it.scrape());
  });

  test('when all answers of a route are too large to compare, until one is not', async () => {
    const large = 'x'.repeat(4_000);
    let answer = large;
    let asked = 0;
    const it = await rig(
      (socket) =>
        socket.on('data', () => {
          asked += 1;
          socket.write(
            `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`,
          );
        }),
      { bodyBytes: 2_500 },
    );
    const totals = () => it.tally.totals().get('catalog');
    const copy = async (): Promise<void> => {
      await call(it.url);
      await eventually('the copy to be decided', () => totals()?.pending === 0);
    };
    for (let nth = 0; nth < 12; nth++) await copy();
    expect(asked).toBe(10);
    expect(totals()?.dropped.get('too-large')).toBe(12);
    // The monolith's were not: the service may be wrong.
    expect(totals()?.undecided).toBe(10);
    it.clock.ms += 1_000;
    await copy();
    await copy();
    expect(asked).toBe(11);
    answer = TEXT;
    it.clock.ms += 1_000;
    for (let nth = 0; nth < 3; nth++) await copy();
    expect(totals()).toMatchObject({ matched: 3, mismatched: 0 });
    expect(totals()?.dropped.get('too-large')).toBe(14);
    expectIdentity(await it.scrape());
  });

  test('when a candidate is wrong so often that checking it would burden the monolith', async () => {
    const it = await rig((socket) => socket.on('data', () => socket.resetAndDestroy()), {
      repeatsPerSecond: 0.001,
    });
    for (let nth = 0; nth < 10; nth++) {
      await call(it.url);
      await eventually('the copy to be decided', () => {
        return it.tally.totals().get('catalog')?.pending === 0;
      });
    }
    expect(it.tally.totals().get('catalog')?.mismatched).toBeGreaterThan(0);
    expect(it.tally.totals().get('catalog')?.dropped.get('recheck-busy')).toBeGreaterThan(5);
  });
});
