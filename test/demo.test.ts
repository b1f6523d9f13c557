// The demo's checks can fail: an injected fault is found, named, and ends the demo non-zero. (That
// the demo succeeds without one is what `.ci/run` runs.)
import { expect, test } from '@jest/globals';
import { banyan } from './support/command.ts';

const DEMO = ['--log-level', 'error', 'demo', '--auto', '--products', '1000'];

test('a service whose prices are off by a cent is stopped by the shadow gate, which names route and field', async () => {
  const { code, stdout, stderr } = await banyan([...DEMO, '--fault', 'wrong-price']);
  expect(stderr).toContain('[GATE_REFUSED]');
  // Whichever of the two is proven first.
  expect(stderr).toMatch(/GET \/api\/products(\/:id at |.* at items\.\*\.)price/);
  expect(stdout).not.toContain('→ canary');
  expect(code).toBe(5);
}, 120_000);

test('a demo over Kafka says at once what is missing for one', async () => {
  const { code, stderr } = await banyan(['demo', '--auto', '--kafka'], { PATH: '/nowhere' });
  expect(stderr).toContain('[EMBEDDED_KAFKA] there is no Java here');
  expect(stderr).toContain('Install Java (17 or newer) and Maven');
  expect(code).toBe(3);
});

test('a change lost on the way is found by verify before the cutover', async () => {
  const { code, stdout, stderr } = await banyan([...DEMO, '--fault', 'lose-change']);
  expect(stderr).toContain('[VERIFY_DIFFERENT]');
  expect(stderr).toContain('"kind":"missing"');
  expect(stdout).not.toContain('→ cutover');
  expect(code).toBe(8);
}, 120_000);
