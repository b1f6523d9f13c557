// Which path a claimed upgrade takes, and what becomes of open ones at a switch.
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../test/support/http.ts';
import {
  begin,
  closeAll,
  edgeTo,
  finished,
  handshake,
  rawWire,
  serveEcho,
  serveRaw,
  SWITCHED,
  until,
} from '../test/support/tunnels.ts';

afterEach(closeAll);

const DECLARED_READ = [
  { path: '/api/products' },
  { path: '/api/products/feed', kind: 'read' as const },
];

describe('the path of a claimed tunnel', () => {
  test.each([
    ['monolith', 0, 'monolith', 'monolith'],
    ['shadow', 0, 'monolith', 'monolith'],
    ['canary', 100, 'monolith', 'service'],
    ['cutover', 0, 'service', 'service'],
  ] as const)(
    'in %s at weight %d writes go to the %s and declared reads to the %s',
    async (phase, weight, write, read) => {
      const monolith = await serveEcho('monolith');
      const service = await serveEcho('service');
      const copied: string[] = [];
      const edge = await edgeTo({
        monolith: monolith.url,
        service: service.url,
        routes: DECLARED_READ,
        shadow: {
          begin: (match) => void copied.push(match.label),
          close: () => Promise.resolve(),
        },
      });
      edge.set({ phase, weight });
      for (const [path, by] of [
        ['/api/products', write],
        ['/api/products/feed', read],
        ['/live', 'monolith'],
      ] as const) {
        const client = await begin(edge.port, path).opened;
        client.ws.send('who');
        await until(client, `${by} who`);
      }
      expect(copied).toEqual([]);
      expect([edge.edge.tunnels('catalog'), edge.edge.tunnels(undefined)]).toEqual([2, 1]);
      expect(edge.holds.figures('catalog').inFlight).toBe(1);
      expect(
        await finished(
          edge,
          `capability="catalog",route="GET /api/products",path="${write}",status="101"`,
        ),
      ).toBe(true);
    },
  );

  test('a new cohort is given with the 101, and rules choose', async () => {
    const monolith = await serveEcho('monolith');
    const service = await serveEcho('service');
    const edge = await edgeTo({
      monolith: monolith.url,
      service: service.url,
      routes: DECLARED_READ,
      canary: { rules: [{ header: 'user-agent', matches: 'iPhone', to: 'service' }] },
    });
    edge.set({ phase: 'canary', weight: 0 });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/api/products/feed'));
    expect(await raw.until(/101[^]*\r\n\r\n/)).toMatch(/set-cookie: banyan_cohort=[\w-]+; Path=/);
    const phone = await begin(edge.port, '/api/products/feed', {
      headers: { 'user-agent': 'iPhone' },
    }).opened;
    phone.ws.send('x');
    await until(phone, 'service x');
  });

  test('an unknown state is 503, and so is a lapsed lease without tables', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url, leaseValid: () => false });
    const lapsed = await rawWire(edge.port);
    lapsed.send(handshake('/api/products'));
    expect(await lapsed.untilClosed()).toMatch(/^HTTP\/1.1 503 [^]*retry-after: 1/);
    edge.edge.apply(new Map());
    const unknown = await rawWire(edge.port);
    unknown.send(handshake('/api/products'));
    expect(await unknown.untilClosed()).toMatch(/^HTTP\/1.1 503 [^]*not known yet/);
    expect(monolith.upgrades).toHaveLength(0);
  });
});

describe('at a switch', () => {
  test('an open tunnel is a write in flight: told to go by a Close frame, and only then acknowledged', async () => {
    const monolith = await serveEcho('monolith');
    const service = await serveEcho('service');
    const edge = await edgeTo({
      monolith: monolith.url,
      service: service.url,
      facade: { upgrades: { drainMs: 2_000 } },
    });
    const client = await begin(edge.port, '/api/products').opened;
    client.ws.send('before');
    await until(client, 'monolith before');
    edge.set({ phase: 'canary', holding: true });
    expect(edge.quiet).not.toContain('catalog 2');
    expect(await client.closed).toBe(1012);
    await eventually('the acknowledgement', () => edge.quiet.includes('catalog 2'));
    await eventually('the close at the monolith', () => monolith.seen.includes('close 1012'));
    const again = begin(edge.port, '/api/products');
    await eventually('it to wait', () => edge.holds.figures('catalog').waiting === 1);
    edge.set({ phase: 'cutover', holding: false });
    const opened = await again.opened;
    opened.ws.send('after');
    await until(opened, 'service after');
    expect(monolith.seen).toEqual(['before', 'close 1012']);
  });

  test('what does not end by itself is cut at the deadline', async () => {
    const upstream = await serveRaw((socket) => socket.write(SWITCHED));
    const edge = await edgeTo({ monolith: upstream.url, facade: { upgrades: { drainMs: 50 } } });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/api/products').replace('websocket', 'x'));
    await raw.until(/101/);
    upstream.sockets[0]?.on('end', () => undefined);
    edge.set({ holding: true });
    await raw.untilClosed();
    await eventually('the acknowledgement', () => edge.quiet.includes('catalog 2'));
    await eventually('its end', () => upstream.sockets[0]?.destroyed === true);
  });

  test('a Close frame waits for the end of a frame that has begun', async () => {
    const upstream = await serveRaw((socket) =>
      socket.write(`${SWITCHED.replace('Upgrade: x', 'Upgrade: websocket')}\x82\x05ab`, 'latin1'),
    );
    const edge = await edgeTo({ monolith: upstream.url });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/api/products'));
    await raw.until(/ab$/);
    edge.set({ holding: true });
    upstream.sockets[0]?.write('cde');
    const all = '\x82\x05abcde\x88\x02\x03\xf4';
    await eventually('both', () => raw.received().endsWith(all));
    // Nothing follows a Close, but what the client still says arrives.
    upstream.sockets[0]?.write('\x82\x01x', 'latin1');
    raw.send('last words');
    await eventually('them', () => upstream.text().endsWith('last words'));
    upstream.sockets[0]?.end();
    expect(await raw.untilClosed()).toMatch(new RegExp(`${all}$`));
  });

  test('a stranger keeps the cohort that came with the 101', async () => {
    const monolith = await serveEcho('monolith');
    const service = await serveEcho('service');
    const edge = await edgeTo({
      monolith: monolith.url,
      service: service.url,
      routes: DECLARED_READ,
    });
    edge.set({ phase: 'canary', weight: 50 });
    const strangers = await Promise.all(
      Array.from({ length: 6 }, () => begin(edge.port, '/api/products/feed').opened),
    );
    for (let n = 0; n < 5; n++) edge.set({});
    for (const { ws } of strangers) ws.send('still here');
    await eventually('all of them', () =>
      strangers.every(({ got }) => got[0]?.endsWith('still here') === true),
    );
  });

  test('a handshake under way is given the same time', async () => {
    const upstream = await serveRaw(() => undefined);
    const edge = await edgeTo({ monolith: upstream.url, facade: { upgrades: { drainMs: 50 } } });
    const raw = await rawWire(edge.port);
    raw.send(handshake('/api/products'));
    await eventually('the handshake', () => upstream.text() !== '');
    edge.set({ holding: true });
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 504 /);
    await eventually('the acknowledgement', () => edge.quiet.includes('catalog 2'));
  });

  test('a declared read stays through a hold, and goes when its own cohort moves', async () => {
    const monolith = await serveEcho('monolith');
    const service = await serveEcho('service');
    const edge = await edgeTo({
      monolith: monolith.url,
      service: service.url,
      routes: DECLARED_READ,
    });
    edge.set({ phase: 'canary', weight: 0 });
    const stranger = await begin(edge.port, '/api/products/feed').opened;
    const unclaimed = await begin(edge.port, '/live').opened;
    edge.set({ holding: true });
    expect(edge.quiet).toContain('catalog 3');
    edge.set({ holding: false });
    stranger.ws.send('still here');
    await until(stranger, 'monolith still here');
    edge.set({ weight: 100 });
    expect(await stranger.closed).toBe(1012);
    edge.set({ phase: 'cutover' });
    unclaimed.ws.send('untouched');
    await until(unclaimed, 'monolith untouched');
  });

  test('a held upgrade whose client leaves is forwarded to nobody', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({
      monolith: monolith.url,
      facade: { hold: { timeoutMs: 60_000 } },
    });
    edge.set({ holding: true });
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      const raw = await rawWire(edge.port);
      raw.send(handshake('/api/products'));
      await eventually('it to wait', () => edge.holds.figures('catalog').waiting === 1);
      raw.socket[leave]();
      await eventually('it to leave', () => edge.holds.figures('catalog').waiting === 0);
    }
    edge.set({ holding: false });
    expect(monolith.upgrades).toHaveLength(0);
    expect(edge.edge.inFlight()).toBe(0);
  });

  test('what waits too long gets 503 and was forwarded to nobody', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({
      monolith: monolith.url,
      facade: { hold: { timeoutMs: 60 }, upgrades: { drainMs: 20 } },
    });
    edge.set({ holding: true });
    const raw = await rawWire(edge.port);
    raw.send(`${handshake('/api/products')}early`);
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 503 [^]*longer than they may wait/);
    expect(monolith.upgrades).toHaveLength(0);
  });

  test('early bytes of a held upgrade arrive once it is released', async () => {
    const upstream = await serveRaw((socket) => socket.write(SWITCHED));
    const edge = await edgeTo({ monolith: upstream.url });
    edge.set({ holding: true });
    const raw = await rawWire(edge.port);
    raw.send(`${handshake('/api/products')}one `);
    await eventually('it to wait', () => edge.holds.figures('catalog').waiting === 1);
    raw.send('two');
    edge.set({ holding: false });
    await raw.until(/101/);
    await eventually('them', () => upstream.text().endsWith('\r\n\r\none two'));
  });

  test('a lapsed lease ends what writes to a capability without tables', async () => {
    const monolith = await serveEcho('m');
    let valid = true;
    const edge = await edgeTo({ monolith: monolith.url, leaseValid: () => valid });
    const client = await begin(edge.port, '/api/products').opened;
    valid = false;
    expect(await client.closed).toBe(1012);
  });

  test('at the end of the facade every tunnel is told to go, and new ones are refused', async () => {
    const monolith = await serveEcho('m');
    const edge = await edgeTo({ monolith: monolith.url });
    const claimed = await begin(edge.port, '/api/products').opened;
    const unclaimed = await begin(edge.port, '/live').opened;
    edge.edge.drain();
    expect([await claimed.closed, await unclaimed.closed]).toEqual([1001, 1001]);
    const raw = await rawWire(edge.port);
    raw.send(handshake('/live'));
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1.1 503 /);
    await eventually('nothing in flight', () => edge.edge.inFlight() === 0);
  });
});
