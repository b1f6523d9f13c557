// A POST that names another method in a field, which many frameworks take it for.
import { createServer } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { serveEdge } from '../test/support/edge.ts';
import { call, serve } from '../test/support/http.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

test.each([
  ['POST', 'x-http-method-override', 'PUT', 'service'],
  ['POST', 'X-HTTP-Method', ' put ', 'service'],
  ['POST', 'X-Method-Override', 'Put', 'service'],
  ['POST', 'x-http-method-override', 'PATCH', 'monolith'],
  // Who does not know the field would carry out a write.
  ['POST', 'x-http-method-override', 'GET', 'monolith'],
  ['GET', 'x-http-method-override', 'PATCH', 'service'],
])('%s with %s: %s goes to the %s, as it came', async (method, field, value, to) => {
  const seen: string[] = [];
  const side = (name: string) =>
    serve((req, res) => {
      seen.push(`${name} ${req.method} ${req.headers[field.toLowerCase()]?.toString().trim()}`);
      res.end();
    }, createServer());
  const [monolith, service] = [await side('monolith'), await side('service')];
  const edge = await serveEdge({
    ...{ monolith: monolith.url, service: service.url },
    routes: [
      { path: '/api/products/:id', methods: ['PUT'] },
      { path: '/api/products/:id', methods: ['GET'] },
    ],
  });
  open.push(monolith, service, edge);
  edge.set({ phase: 'cutover' });
  await call(`${edge.url}/api/products/1`, { method, headers: { [field]: value } });
  expect(seen).toEqual([`${to} ${method} ${value.trim()}`]);
});
