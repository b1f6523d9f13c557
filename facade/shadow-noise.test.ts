// The whole way of a copy, with two servers that give the same answers but for what no server gives
// twice: ids, times, order, chance, lists of varying length. None of it may be reported, from the
// first request on; what is wrong beside it, on top of it, or in its shape, must be. What varies is
// drawn from the number of the request and how often a server has been asked for it: the same answers
// in each run, whenever they are asked for.
import { createServer, type RequestListener } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import { stableAnswer, volatile, type Answered } from '../test/support/answers.ts';
import { eventually, serve } from '../test/support/http.ts';
import { randomOf } from '../test/support/random.ts';
import { defineMigration } from '../control/define.ts';
import type { ShadowMismatch } from '../control/shadow-counts.ts';
import { waitFor } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { compileRoutes } from './domain/routes.ts';
import { createShadow } from './shadow.ts';
import { Tally, type ShadowTotals } from './tally.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** Gives an answer for the number in the path, another one at each call by what `chance` says. */
type Source = (seed: number, chance: () => number) => unknown;

const same: Source = (seed, chance) => volatile(stableAnswer(randomOf(seed)), chance);

/** One server's answers, which nobody else's resemble by chance. */
function serverOf(source: Source, which: number): (seed: number) => unknown {
  const asked = new Map<number, number>();
  return (seed) => {
    const nth = (asked.get(seed) ?? 0) + 1;
    asked.set(seed, nth);
    return source(seed, randomOf(which + 2 * (seed * 1_000 + nth)));
  };
}

interface Line {
  readonly totals: () => Readonly<ShadowTotals>;
  /** Copies that were refused for a while, and counted as dropped then. */
  readonly refused: () => number;
  /** `path` of every mismatch so far, with its count. */
  readonly mismatches: () => Promise<Record<string, number>>;
  /** Lets so many reads by, so many at a time. With one, what a read meets does not depend on the others. */
  run(count: number, atATime?: number): Promise<void>;
}

const seedOf = (url = ''): number => Number(/(\d+)$/.exec(url)?.[1]);

function answering(answer: (seed: number) => unknown): RequestListener {
  return (req, res) => {
    req.resume();
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(answer(seedOf(req.url))));
  };
}

interface LineOptions {
  readonly hasTables?: boolean;
  /** The first request's number. */
  readonly from?: number;
}

async function line(
  control: Source,
  candidate: Source,
  { hasTables = false, from = 1 }: LineOptions = {},
): Promise<Line> {
  const answer = serverOf(control, 0);
  const monolith = await serve(answering(answer), createServer());
  const service = await serve(answering(serverOf(candidate, 1)), createServer());
  const database = { capture: 'c', applier: 'a', coordinator: 'o' };
  const migration = defineMigration({
    monolith: { upstream: monolith.url, database },
    services: { catalog: { upstream: service.url, database } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/api/products/:id'],
        ...(hasTables ? { tables: [{ monolith: 'p', service: 'p', key: { id: 'id' } }] } : {}),
      },
    },
    facade: { shadow: { cpu: 1, bytesPerSecond: 1e9, repeatsPerSecond: 1_000_000 } },
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
  const upstreams = { monolith: monolith.url, services: { catalog: service.url } };
  const shadow = createShadow({
    migration,
    upstreams,
    tally,
    clock: { caughtUp: () => Promise.resolve(true) },
    log: createLogger({}, 'silent'),
    // Clients, edge and upstreams share this process: it has no time to spare.
    freeMs: () => performance.now() * 10,
    version: () => 1,
  });
  open.push(monolith, service, shadow);
  const routes = compileRoutes(migration.capabilities);
  const totals = (): Readonly<ShadowTotals> => {
    const known = tally.totals().get('catalog');
    if (!known) throw new Error('nothing was counted');
    return known;
  };
  let seed = from - 1;
  let refused = 0;
  return {
    totals,
    refused: () => refused,
    mismatches: async () => {
      await tally.flush();
      const counts: Record<string, number> = {};
      for (const { path, count } of stored) counts[path] = (counts[path] ?? 0) + count;
      return counts;
    },
    run: async (count, atATime = 12) => {
      const match = routes.match('GET', ['api', 'products', '1']);
      if (!match) throw new Error('no route');
      for (let nth = 0; nth < count; nth++) {
        seed += 1;
        const target = `/api/products/${seed}`;
        const begin = () => shadow.begin(match, () => ({ method: 'GET', target, headers: [] }));
        while (nth > 0 && totals().pending >= atATime) await new Promise(setImmediate);
        // On a machine that has no time for it now, it is asked again.
        const tap = await waitFor(
          () => {
            const begun = begin();
            if (!begun) refused += 1;
            return begun;
          },
          { timeoutMs: 30_000, everyMs: 5, what: 'the processor to have time for a copy' },
        );
        tap.head(200, ['content-type', 'application/json']);
        tap.data(Buffer.from(JSON.stringify(answer(seed))));
        tap.end();
      }
      await eventually('every verdict', () => totals().pending === 0);
    },
  };
}

/** In CI ten thousand. */
const ANSWERS = Number(process.env['ANSWERS'] ?? 1_000);

describe('no false alarm', () => {
  test(`on ${ANSWERS} answers that differ only in what no server gives twice`, async () => {
    const it = await line(same, same);
    await it.run(ANSWERS);
    expect(await it.mismatches()).toEqual({});
    const { matched, dropped, noise } = it.totals();
    expect(matched).toBeGreaterThan(0.99 * ANSWERS);
    expect(matched + [...dropped.values()].reduce((sum, one) => sum + one, 0)).toBe(
      ANSWERS + it.refused(),
    );
    expect(noise).toBeGreaterThan(5 * ANSWERS);
  }, 300_000);

  test('nor with tables, nor on the first requests of a fresh process', async () => {
    for (let process = 0; process < 30; process++) {
      const it = await line(same, same, { hasTables: true, from: 1 + 12 * process });
      await it.run(12);
      expect(await it.mismatches()).toEqual({});
      await Promise.all(open.splice(0).map((one) => one.close()));
    }
  });
});

/** The same, with a mistake in every nth answer. */
function wrong(change: (answer: Answered, seed: number) => unknown, every = 1): Source {
  return (seed, chance) => {
    const answer = same(seed, chance) as Answered;
    return seed % every === 0 ? change(answer, seed) : answer;
  };
}

describe('amid the noise', () => {
  test('a mistake in a quiet place is found at the first request, and in each that has it', async () => {
    const it = await line(
      same,
      wrong((answer) => ({ ...answer, wrong: true }), 10),
    );
    await it.run(500);
    expect(await it.mismatches()).toEqual({ wrong: 50 });
    expect(it.totals().mismatched).toBe(50);
  });

  test.each<[string, string, (answer: Answered) => unknown]>([
    ['null for a volatile id', 'requestId', (answer) => ({ ...answer, requestId: null })],
    ['an empty id', 'requestId', (answer) => ({ ...answer, requestId: '' })],
    ['an id of another kind', 'requestId', (answer) => ({ ...answer, requestId: 'undefined' })],
    ['a number for a time', 'servedAt', (answer) => ({ ...answer, servedAt: Date.now() })],
    [
      'text for a number',
      'tookMs',
      (answer) => ({ ...answer, tookMs: `${String(answer['tookMs'])}ms` }),
    ],
    [
      'a volatile member missing',
      'banner',
      ({ banner, ...rest }) => ({ ...rest, ...(banner === 'never' ? { banner } : {}) }),
    ],
    [
      'a wrong element of a shuffled list',
      'related.*.label',
      (answer) => ({
        ...answer,
        related: (answer['related'] as { id: number }[]).map((one) =>
          one.id === 2 ? { ...one, label: 'other' } : one,
        ),
      }),
    ],
    [
      'an element missing from a shuffled list',
      'facets.length',
      (answer) => ({ ...answer, facets: (answer['facets'] as unknown[]).slice(1) }),
    ],
    [
      'null prices in a list of varying length',
      'suggested.*.price',
      (answer) => ({
        ...answer,
        suggested: (answer['suggested'] as object[]).map((one) => ({ ...one, price: null })),
      }),
    ],
  ])(
    '%s is found, for a process that has learned and for a fresh one',
    async (_name, path, change) => {
      for (const learned of [0, 300]) {
        let isWrong = false;
        const it = await line(same, (seed, chance) =>
          (isWrong ? wrong(change) : same)(seed, chance),
        );
        if (learned > 0) await it.run(learned);
        isWrong = true;
        await it.run(40, 1);
        const found = await it.mismatches();
        expect(Object.keys(found)).toContain(path);
        expect(
          Object.keys(found).filter((one) => !one.startsWith(path.split('.')[0] ?? '')),
        ).toEqual([]);
      }
    },
  );

  test('what is wrong on top of noise is told by being wrong more often than the noise explains', async () => {
    const it = await line(
      same,
      wrong((answer) => ({ ...answer, banner: 'unheard of' })),
    );
    await it.run(1_000);
    const found = await it.mismatches();
    expect(Object.keys(found)).toEqual(['banner']);
    // Learned once, every answer that tells is counted.
    const before = it.totals().mismatched;
    await it.run(300);
    expect(it.totals().mismatched - before).toBeGreaterThan(50);
  }, 300_000);
});
