import type { IncomingMessage } from 'node:http';
import { afterEach, expect, test } from '@jest/globals';
import { freePort } from '../core/free-port.ts';
import type { Logger } from '../core/log.ts';
import { eventually, readAll, serve } from '../test/support/http.ts';
import { openTelemetry } from './telemetry.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

function recordingLog(): { log: Logger; warnings: string[] } {
  const warnings: string[] = [];
  const log = { warn: (message: string) => warnings.push(message) } as unknown as Logger;
  return { log, warnings };
}

test('a collector gets the spans, with the service’s name, at the latest when it stops', async () => {
  const bodies: Buffer[] = [];
  const requests: IncomingMessage[] = [];
  const collector = await serve((req, res) => {
    requests.push(req);
    void readAll(req).then((body) => {
      bodies.push(body);
      res.end('{}');
    });
  });
  open.push(collector);
  const { log, warnings } = recordingLog();
  const telemetry = await openTelemetry(
    { endpoint: `${collector.url}/v1/traces`, sample: 1, service: 'edge-of-test' },
    log,
  );
  telemetry.tracer.startSpan('a span of the test').end();
  await telemetry.stop();
  await eventually('the spans', () => bodies.length === 1);
  expect(requests[0]?.url).toBe('/v1/traces');
  expect(bodies[0]?.toString('latin1')).toContain('a span of the test');
  expect(bodies[0]?.toString('latin1')).toContain('edge-of-test');
  expect(warnings).toEqual([]);
});

test('a collector that is not there is one line in the log, and stopping does not wait for it', async () => {
  const gone = `http://127.0.0.1:${await freePort()}`;
  const { log, warnings } = recordingLog();
  const telemetry = await openTelemetry(
    { endpoint: `${gone}/v1/traces`, sample: 1, service: 'edge' },
    log,
  );
  telemetry.tracer.startSpan('lost').end();
  await telemetry.stop();
  expect(warnings).toHaveLength(1);
});
