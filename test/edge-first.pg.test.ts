// An edge that comes up before its control database does: it waits, and heeds who wants it to end.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '../core/free-port.ts';
import { startBanyan, writeConfig } from './support/command.ts';
import { call, json, serve, type TestServer } from './support/http.ts';
import { createControl, createDatabase, type TestDatabase } from './support/postgres.ts';
import { startProxy, type Proxy } from './support/proxy.ts';

let control: TestDatabase;
let monolith: TestServer;
let proxy: Proxy;

beforeAll(async () => {
  control = await createControl();
  monolith = await serve(json({ by: 'monolith' }));
  proxy = await startProxy(Number(new URL(control.url).port));
});

afterAll(async () => {
  await proxy.close();
  await monolith.close();
  await control.drop();
});

test('it makes a control database that comes up empty, and serves', async () => {
  const empty = await createDatabase('control');
  const nowhere = await freePort();
  proxy.lead(nowhere);
  const config = writeConfig({
    control: proxy.through(empty.url),
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: monolith.url } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/products'] } },
  });
  const edge = startBanyan([
    ...['--config', config.file, '--json', 'facade', '--port', '0', '--admin-port', '0'],
  ]);
  try {
    await new Promise<void>((resolve) => {
      edge.child.stderr.on('data', () => {
        if (edge.stderr().includes('serves nothing until')) resolve();
      });
    });
    proxy.lead(Number(new URL(empty.url).port));
    await edge.says('"ready":true');
    const { url } = JSON.parse(edge.stdout()) as { url: string };
    expect(await call(`${url}/api/products`)).toMatchObject({ status: 200 });
    edge.child.kill('SIGTERM');
    expect(await edge.exited).toBe(0);
  } finally {
    edge.child.kill('SIGKILL');
    await edge.exited;
    config.remove();
    await empty.drop();
  }
});

test('it serves once the control database is there', async () => {
  const nowhere = await freePort();
  proxy.lead(nowhere);
  const config = writeConfig({
    control: proxy.through(control.url),
    monolith: { upstream: monolith.url },
    services: { catalog: { upstream: monolith.url } },
    capabilities: { catalog: { service: 'catalog', routes: ['/api/products'] } },
  });
  const args = ['--config', config.file, '--json', 'facade', '--port', '0', '--admin-port', '0'];
  const patient = startBanyan(args);
  const impatient = startBanyan(args);
  try {
    for (const one of [patient, impatient])
      await new Promise<void>((resolve) => {
        one.child.stderr.on('data', () => {
          if (one.stderr().includes('serves nothing until')) resolve();
        });
      });
    impatient.child.kill('SIGTERM');
    // Drained, or ended before there was anything to drain.
    expect([0, 143]).toContain(await impatient.exited);
    proxy.lead(Number(new URL(control.url).port));
    await patient.says('"ready":true');
    const { url } = JSON.parse(patient.stdout()) as { url: string };
    expect(await call(`${url}/api/products`)).toMatchObject({ status: 200 });
  } finally {
    for (const one of [patient, impatient]) one.child.kill('SIGKILL');
    await Promise.all([patient.exited, impatient.exited]);
    config.remove();
  }
});
