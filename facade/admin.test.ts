import { afterEach, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { waitFor } from '../core/lifecycle.ts';
import { initialState } from '../control/domain/state.ts';
import { call, serve, wire } from '../test/support/http.ts';
import { adminApp, adminServer } from './admin.ts';
import { replicaView, type ReplicaSources } from './replica-view.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

interface Facts {
  stage: ReturnType<ReplicaSources['stage']>;
  beat: number | undefined;
  states: ReturnType<ReplicaSources['states']>;
}

async function admin(facts: Facts): Promise<{ url: string; port: number }> {
  const view = replicaView({
    replicaId: 'r',
    stage: () => facts.stage,
    states: () => facts.states,
    holds: () => {
      throw new Error('secret of the inside');
    },
    tunnels: () => 0,
    inFlight: () => 0,
    heartbeatAgeMs: () => facts.beat,
    registry: new Registry(),
  });
  const served = await serve(() => undefined, adminServer(adminApp(view)));
  open.push(served);
  return served;
}

test('/readyz tells what is missing', async () => {
  const facts: Facts = { stage: 'starting', beat: undefined, states: new Map() };
  const { url } = await admin(facts);
  const ask = async (): Promise<unknown[]> => {
    const { status, body } = await call(`${url}/readyz`);
    return [status, JSON.parse(body) as unknown];
  };
  const missing = (what: string): unknown[] => [503, { status: 'not-ready', missing: [what] }];
  expect(await ask()).toEqual(missing('the replica is not registered in the control database'));
  facts.beat = 10;
  expect(await ask()).toEqual(missing('the states of the capabilities are not known'));
  facts.states = new Map([['catalog', initialState('catalog')]]);
  expect(await ask()).toEqual(missing('the data port does not listen'));
  facts.stage = 'ready';
  expect(await ask()).toEqual([200, { status: 'ready' }]);
  facts.stage = 'ending';
  expect(await ask()).toEqual(missing('it ends'));
  expect((await call(`${url}/healthz`)).status).toBe(200);
});

test('whatever else is asked, the answer is JSON and tells nothing of the inside', async () => {
  const states = new Map([['catalog', initialState('catalog')]]);
  const { url } = await admin({ stage: 'ready', beat: 1, states });
  for (const [path, status] of [
    ['/', 404],
    ['/metrics/x', 404],
    ['/%', 404],
    ['/state', 500],
  ] as const) {
    const reply = await call(`${url}${path}`);
    expect([path, reply.status]).toEqual([path, status]);
    expect(reply.headers['content-type']).toMatch(/^application\/json/);
    expect(JSON.parse(reply.body)).toMatchObject({ status });
    expect(reply.body).not.toContain('secret');
  }
  expect((await call(`${url}/healthz`, { method: 'POST' })).status).toBe(404);
});

test('a request that does not come to its end is not waited for', async () => {
  const { port } = await admin({ stage: 'ready', beat: 1, states: new Map() });
  const slow = await wire(port);
  slow.send('GET /healthz HTTP/1.1\r\n');
  let closed = false;
  slow.socket.on('close', () => (closed = true));
  await waitFor(() => closed, { timeoutMs: 30_000, what: 'the end of the connection' });
  expect(slow.received()).toMatch(/^HTTP\/1.1 408 /);
});
