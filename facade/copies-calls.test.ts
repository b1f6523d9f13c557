// What is asked through the edge by whoever answers a shadow copy, who has passed its mark on.
import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import type { Shadow } from './shadow.ts';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';
import { call, json, serve } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function scene(): Promise<{ edge: TestEdge; copied: string[]; seen: string[] }> {
  const copied: string[] = [];
  const seen: string[] = [];
  const monolith = await serve((req, res) => {
    seen.push(
      `${req.method} ${req.url} ${req.headers['x-banyan-shadow']?.toString() ?? 'unmarked'}`,
    );
    json({})(req, res);
  }, createServer());
  const shadow: Shadow = {
    begin: (_match, ask) => {
      copied.push(ask().target);
      return undefined;
    },
    close: () => Promise.resolve(),
  };
  const edge = await serveEdge({
    ...{ monolith: monolith.url, shadow },
    routes: ['/api/products/:id', { path: '/api/search', kind: 'read' }],
  });
  edge.set({ phase: 'shadow' });
  open.push(monolith, edge);
  return { edge, copied, seen };
}

const MARK = { 'x-banyan-shadow': '1' };

test('reads are answered and not copied: they would go round for ever', async () => {
  const { edge, copied, seen } = await scene();
  for (const headers of [{}, MARK])
    expect(await call(`${edge.url}/api/products/1`, { headers })).toMatchObject({ status: 200 });
  expect(await call(`${edge.url}/api/search`, { method: 'POST', headers: MARK })).toMatchObject({
    status: 200,
  });
  expect(copied).toEqual(['/api/products/1']);
  // Nobody else's word passes for a mark of ours.
  expect(seen).toEqual([
    'GET /api/products/1 unmarked',
    'GET /api/products/1 unmarked',
    'POST /api/search unmarked',
  ]);
});

test.each(['/api/products/1', '/elsewhere'])('a write to %s is refused', async (path) => {
  const { edge, seen } = await scene();
  const answer = await call(edge.url + path, { method: 'POST', headers: MARK, body: 'x' });
  expect(answer).toMatchObject({ status: 403 });
  expect(seen).toEqual([]);
  expect(await edge.metrics.registry.metrics()).toContain('banyan_refused_total{reason="copy"} 1');
});

test('an upgrade is refused', async () => {
  const { edge } = await scene();
  const ws = new WebSocket(`${edge.url}/api/products/1`, { headers: MARK });
  const error = await new Promise<Error>((resolve) => ws.on('error', resolve));
  expect(error.message).toContain('403');
});
