// The way back is proven before the service owns: what stands in its way is named while nobody is held.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isBanyanError } from '../core/errors.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  logGate,
  startSync,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';
import type { GateResult } from './domain/gates.ts';
import { certificates } from './certificates.ts';

let pair: Pair;
let sync: RunningSync;
let gate: LogGate;

beforeEach(async () => {
  pair = await createPair();
  gate = logGate();
  sync = startSync(pair, { wrapLog: gate.wrap });
  await advanceTo(pair, 'canary');
  await pair.evidence.addVerify({
    ...{ capability: 'catalog', rows: 1, missing: 0, extra: 0, different: 0, unsettled: 0 },
    samples: [],
  });
  await streaming(pair, 'to');
  await streaming(pair, 'back');
});

afterEach(async () => {
  gate.open();
  await sync.stop();
  await pair.close();
});

const advance = (): Promise<unknown> =>
  pair.coordinator().move({ capability: 'catalog', event: 'advance' });

/** Nothing has been held, and the monolith owns as before. */
async function untouched(): Promise<void> {
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', holding: false });
  const events = (await pair.store.journal('catalog')).map(({ event }) => event);
  expect(events).not.toContain('hold');
  expect(await certificates(pair.db, 'catalog')).toEqual([]);
}

test.each([
  ['UPDATE', 'prd', 'ON prd'],
  ['DELETE', 'cat', 'ON cat'],
  ['USAGE', 'schema', 'ON SCHEMA public'],
])(
  'without %s on %s the switch is refused, and names role, right and what mends it',
  async (right, what, where) => {
    const applier = `m_${pair.tag}_applier`;
    await pair.monolith.query(`REVOKE ${right} ${where} FROM ${applier}, PUBLIC`);
    const error = await advance().catch((given: unknown) => given);
    expect(error).toMatchObject({
      code: 'GATE_REFUSED',
      message: expect.stringMatching(new RegExp(`${applier} lacks ${right} on .*${what}`)),
      hint: expect.stringMatching(new RegExp(`GRANT ${right} ON .*${what}.* TO .*${applier}`, 'i')),
    });
    await untouched();
    const { gates } = (isBanyanError(error) ? error.details : {}) as { gates: GateResult[] };
    const remedy = gates.find((one) => one.gate === 'way back')?.remedy ?? '';
    await pair.monolith.query(remedy.slice(remedy.indexOf('GRANT')));
    await streaming(pair, 'back');
    await advance();
    expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover' });
  },
  40_000,
);

test('a probe that does not come back refuses the switch, and nobody has been held', async () => {
  gate.shut();
  await expect(advance()).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringContaining('the way back is not proven'),
  });
  await untouched();
  gate.open();
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await advance();
  expect(await certificates(pair.db, 'catalog')).toMatchObject([
    {
      wayBack: {
        position: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
        ms: expect.any(Number),
      },
    },
  ]);
}, 40_000);
