// Where writes go under a write canary, and what the client who made them sees afterwards.
import { afterEach, expect, test } from '@jest/globals';
import { serveEdge, type TestEdge, type TestEdgeOptions } from '../test/support/edge.ts';
import { call, serveSide, type Reply } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** The control database's clock, and how far each flow has come. */
interface Clock {
  now: number;
  to: number;
  back: number;
}

async function scene(
  more: Partial<TestEdgeOptions> = {},
): Promise<{ edge: TestEdge; clock: Clock }> {
  const monolith = await serveSide('monolith');
  const service = await serveSide('service');
  const clock = { now: 1_000, to: 900, back: 900 };
  const edge = await serveEdge({
    monolith: monolith.url,
    service: service.url,
    tables: true,
    canary: {
      writes: true,
      rules: [
        { header: 'user-agent', matches: 'android', to: 'monolith' },
        { header: 'beta', matches: 'yes', to: 'service' },
      ],
    },
    freshness: { now: () => clock.now, watermark: (_, direction) => clock[direction] },
    ...more,
  });
  open.push(monolith, service, edge);
  return { edge, clock };
}

const by = ({ body }: Reply): string => (JSON.parse(body) as { by: string }).by;

function cookiesOf(...replies: Reply[]): string {
  return replies
    .flatMap((reply) => reply.headers['set-cookie'] ?? [])
    .map((line) => line.split(';', 1)[0])
    .join('; ');
}

const read = (edge: TestEdge, cookie = '', headers = {}): Promise<Reply> =>
  call(`${edge.url}/api/products`, { headers: { cookie, ...headers } });
const write = (edge: TestEdge, cookie = '', headers = {}): Promise<Reply> =>
  call(`${edge.url}/api/products`, { method: 'POST', headers: { cookie, ...headers }, body: 'w' });

/** Fresh clients, each with the cohort that the edge gave it. */
async function clients(edge: TestEdge, count: number): Promise<string[]> {
  const cookies: string[] = [];
  for (let index = 0; index < count; index++) cookies.push(cookiesOf(await read(edge)));
  return cookies;
}

test('a cohort reads and writes on one side, a greater share moves nobody back, and nobody writes there before it is open', async () => {
  const { edge } = await scene();
  edge.set({ phase: 'canary', weight: 30 });
  const all = await clients(edge, 40);
  for (const cookie of all) expect(by(await write(edge, cookie))).toBe('monolith');
  const chosen = async (): Promise<Set<string>> => {
    const found = new Set<string>();
    for (const cookie of all) {
      const side = by(await write(edge, cookie));
      expect(by(await read(edge, cookie))).toBe(side);
      if (side === 'service') found.add(cookie);
    }
    return found;
  };
  edge.set({ shared: true });
  const few = await chosen();
  expect(few.size).toBeGreaterThan(0);
  edge.set({ weight: 70 });
  const many = await chosen();
  expect(many.size).toBeGreaterThan(few.size);
  expect([...few].filter((one) => !many.has(one))).toEqual([]);
  edge.set({ shared: false, weight: 0 });
  expect((await chosen()).size).toBe(0);
});

test('a key that a client made up, and a rule that it can meet by a field, take no write to the service', async () => {
  const { edge } = await scene();
  edge.set({ phase: 'canary', weight: 99.99, shared: true });
  for (const cookie of [
    'banyan_cohort=made-up',
    'banyan_cohort=made-up.AAAAAAAAAAAAAAAAAAAAAA',
    '',
  ])
    expect(by(await write(edge, cookie))).toBe('monolith');
  expect(by(await write(edge, '', { beta: 'yes' }))).toBe('monolith');
  // One that was given before keys were signed is given a new one.
  const cookie = cookiesOf(await read(edge, 'banyan_cohort=made-up'));
  expect(cookie).toMatch(/^banyan_cohort=[0-9a-f-]{36}\.[\w-]{22}$/);
  expect(by(await write(edge, cookie))).toBe('service');
  expect(by(await write(edge, cookie, { 'user-agent': 'android' }))).toBe('monolith');
});

test('a field counts where a trusted proxy says it', async () => {
  const canary = { writes: true, cohort: { header: 'x-user' } };
  const { edge } = await scene({
    canary,
    facade: { trustedProxies: ['loopback'] },
    trusts: (address) => address === '127.0.0.1',
  });
  edge.set({ phase: 'canary', weight: 99.99, shared: true });
  expect(by(await write(edge, '', { 'x-user': 'anna' }))).toBe('service');
  const stranger = await scene({ canary, facade: { trustedProxies: ['loopback'] } });
  stranger.edge.set({ phase: 'canary', weight: 99.99, shared: true });
  expect(by(await write(stranger.edge, '', { 'x-user': 'anna' }))).toBe('monolith');
});

test('who has written stays there, with reads and writes, until the other side has it', async () => {
  const { edge, clock } = await scene();
  edge.set({ phase: 'canary', weight: 99.99, shared: true });
  const [cohort = ''] = await clients(edge, 1);
  const written = await write(edge, cohort);
  expect(by(written)).toBe('service');
  const cookie = `${cohort}; ${cookiesOf(written)}`;
  // The canary is made smaller, and this client is not in it any more.
  edge.set({ weight: 0.01 });
  expect(by(await read(edge, cohort))).toBe('monolith');
  expect(by(await read(edge, cookie))).toBe('service');
  expect(by(await write(edge, cookie))).toBe('service');
  clock.back = 1_001;
  expect(by(await read(edge, cookie))).toBe('monolith');
  const back = await write(edge, cookie);
  expect(by(back)).toBe('monolith');
  const again = `${cohort}; ${cookiesOf(back)}`;
  edge.set({ weight: 99.99 });
  expect(by(await read(edge, again))).toBe('monolith');
  expect(by(await write(edge, again))).toBe('monolith');
  clock.to = 1_001;
  expect(by(await write(edge, again))).toBe('service');
});
