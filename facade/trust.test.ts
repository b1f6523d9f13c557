import { afterEach, expect, test } from '@jest/globals';
import { defineMigration } from '../control/define.ts';
import type { Logger } from '../core/log.ts';
import { serveEdge } from '../test/support/edge.ts';
import { call, serve } from '../test/support/http.ts';
import { createTrust, warnOfHearsay } from './trust.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** What the upstream of an edge that trusts `entries` sees of a spoofed address. */
async function seen(entries: readonly string[], host: string): Promise<unknown> {
  const fields: unknown[] = [];
  const upstream = await serve((req, res) => {
    fields.push(req.headers['x-forwarded-for']);
    res.end();
  });
  open.push(upstream);
  const edge = await serveEdge({ monolith: upstream.url, trusts: createTrust(entries) });
  open.push(edge);
  await call(`http://${host}:${edge.port}/`, { headers: { 'x-forwarded-for': '6.6.6.6' } });
  return fields[0];
}

test('an address that a client names is kept only when its peer is trusted', async () => {
  expect(await seen([], '127.0.0.1')).toBe('127.0.0.1');
  expect(await seen(['10.0.0.0/8'], '127.0.0.1')).toBe('127.0.0.1');
  expect(await seen(['loopback'], '127.0.0.1')).toBe('6.6.6.6, 127.0.0.1');
});

test('a proxy near by that is not believed is told of, once; others from far are not', () => {
  const told: unknown[] = [];
  const log = { warn: (_: string, about: unknown) => void told.push(about) };
  const hear = warnOfHearsay(log as unknown as Logger);
  hear('203.0.113.9');
  expect(told).toEqual([]);
  hear('10.1.2.3');
  hear('10.1.2.4');
  expect(told).toEqual([{ peer: '10.1.2.3' }]);
});

test('what only a proxy may say is heard of where it is dropped, and nowhere else', async () => {
  const upstream = await serve((_req, res) => {
    res.end();
  });
  open.push(upstream);
  const heard: string[] = [];
  const asked = async (entries: readonly string[], headers: Record<string, string>) => {
    const onHearsay = (address: string): void => void heard.push(address);
    const trusts = createTrust(entries);
    const edge = await serveEdge({ monolith: upstream.url, trusts, onHearsay });
    open.push(edge);
    await call(`${edge.url}/`, { headers });
    return heard.splice(0);
  };
  const said = { 'x-forwarded-proto': 'https' };
  expect(await asked([], said)).toEqual(['127.0.0.1']);
  expect(await asked(['loopback'], said)).toEqual([]);
  expect(await asked([], { accept: '*/*' })).toEqual([]);
});

test('nobody is asked about where nobody is trusted', () => {
  expect(createTrust([])).toBeUndefined();
});

test('a flood of addresses changes no verdict', () => {
  const trust = createTrust(['10.0.0.0/8']);
  for (let at = 0; at < 3_000; at++) {
    expect(trust?.(`11.0.${at >> 8}.${at & 255}`)).toBe(false);
    expect(trust?.('10.0.0.1')).toBe(true);
  }
});

test('an entry that is no network is a mistake with its path', () => {
  expect(() =>
    defineMigration({
      monolith: { upstream: 'http://m' },
      services: { s: { upstream: 'http://s' } },
      capabilities: { catalog: { service: 's', routes: ['/a'] } },
      facade: { trustedProxies: ['10.0.0.0/8', '10.0.0.0/99'] },
    }),
  ).toThrow(/facade\.trustedProxies\.1: is not an address, a CIDR/);
});
