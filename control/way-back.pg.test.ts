// The way back is proven before the service owns: what stands in its way is named while nobody is held.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isBanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { banyan, writeConfig } from '../test/support/command.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  logGate,
  noteClean,
  startSync,
  streaming,
  type LogGate,
  type RunningSync,
} from '../test/support/sync.ts';
import { certificates } from './certificates.ts';
import { warns, type GateResult } from './domain/gate-result.ts';
import type { MoveResult } from './domain/move.ts';

let pair: Pair;
let sync: RunningSync;
let gate: LogGate;

beforeEach(async () => {
  pair = await createPair();
  gate = logGate();
  sync = startSync(pair, { wrapLog: gate.wrap });
  await advanceTo(pair, 'canary');
  await noteClean(pair);
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
});

async function rollBack(): Promise<MoveResult> {
  return pair.coordinator().move({ capability: 'catalog', event: 'rollback' });
}

test('going back proves the way forward too, and says so', async () => {
  await advance();
  await streaming(pair, 'back');
  await streaming(pair, 'to');
  const { gates } = await rollBack();
  expect(gates).toContainEqual({
    ...{ gate: 'way forward', verdict: 'pass', advisory: true },
    figure: expect.stringMatching(/^a probe came through in \d+ ms$/),
    limit: 'none missing, and a probe that comes through',
  });
});

test('going back is not refused where the way forward has a flaw: it is told, with what mends it', async () => {
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  await streaming(pair, 'to');
  await advance();
  await streaming(pair, 'back');
  const applier = `s_${pair.tag}_applier`;
  await pair.service.query(`REVOKE UPDATE ON product FROM ${applier}, PUBLIC`);
  // It stays with the monolith, and does not come through any more.
  await pair.monolith.query(`UPDATE prd SET stk = 7 WHERE no = 'A'`);
  await waitFor(
    async () => {
      const line = (await pair.evidence.flows('catalog')).find((one) => one.direction === 'to');
      return line && (line.error !== null || (line.parked ?? 0) > 0);
    },
    { timeoutMs: 30_000, what: 'sync to to come to a stop' },
  );
  await pair.service.query(`UPDATE product SET name = 'by the service' WHERE sku = 'A'`);
  const moved = await rollBack();
  expect(moved).toMatchObject({ from: 'cutover', to: 'canary', weight: 0 });
  // The flow itself tries again and again: what it says depends on the moment.
  const told = moved.gates.filter(warns).filter(({ gate }) => !gate.startsWith('sync to'));
  expect(told).toEqual([
    expect.objectContaining({
      ...{ gate: 'way forward', verdict: 'fail', figure: '1 rights missing' },
      note: expect.stringContaining(`${applier} lacks UPDATE on`),
      remedy: expect.stringContaining('GRANT UPDATE ON'),
    }),
  ]);
  // Whoever reads the record sees it as well, and nothing of the service's is lost.
  expect((await certificates(pair.db, 'catalog')).at(-1)?.gates).toEqual(moved.gates);
  const { rows } = await pair.monolith.query(`SELECT nm FROM prd WHERE no = 'A'`);
  expect(rows).toEqual([{ nm: 'by the service' }]);
});

test('`banyan plan` shows the way back as the other gates, with figure, limit and what mends it', async () => {
  const { monolith, services } = pair.connections;
  const config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
  });
  const inTheWay = async (): Promise<unknown[]> => {
    const { stdout } = await banyan(['--config', config.file, '--json', 'plan', 'catalog']);
    return (JSON.parse(stdout) as { inTheWay: { gate: string }[] }[])
      .flatMap((plan) => plan.inTheWay)
      .filter(({ gate }) => gate === 'way back');
  };
  try {
    await pair.coordinator().move({ capability: 'catalog', event: 'weight', weight: 100 });
    expect(await inTheWay()).toEqual([]);
    const applier = `m_${pair.tag}_applier`;
    await pair.monolith.query(`REVOKE DELETE ON prd FROM ${applier}, PUBLIC`);
    expect(await inTheWay()).toEqual([
      {
        ...{ gate: 'way back', verdict: 'fail' },
        ...{ figure: '1 rights missing', limit: 'none missing' },
        note: expect.stringContaining(`${applier} lacks DELETE on`),
        remedy: expect.stringContaining('GRANT DELETE ON'),
      },
    ]);
  } finally {
    config.remove();
  }
});

test('`banyan plan` names the command of the next step, and what a plain advance would do instead', async () => {
  const { monolith, services } = pair.connections;
  const { catalog } = pair.migration.capabilities;
  if (!catalog) throw new Error('no capability');
  const config = writeConfig({
    ...pair.migration,
    control: pair.controlUrl,
    monolith,
    services: { catalog: services['catalog'] },
    capabilities: {
      catalog: {
        ...catalog,
        gates: { ...catalog.gates, canarySamples: 50 },
        rollout: { steps: [5, 50] },
      },
    },
  });
  const plan = async (): Promise<string> =>
    (await banyan(['--config', config.file, 'plan', 'catalog'])).stdout;
  try {
    // At no share nobody has answers yet: that is no reason not to give one.
    const [step = '', cutover = ''] = (await plan()).split('  without --weight: ');
    expect(step).toContain('catalog: canary 0 % → canary 5 %: `banyan advance catalog --weight 5`');
    expect(step).toContain('nothing stands in its way');
    expect(step).not.toContain('canary answers');
    expect(cutover).toMatch(/^canary 0 % → cutover\n {4}in the way: canary answers: 0, /);
    const found = { rows: 2, missing: 0, extra: 0, different: 1, unsettled: 0, samples: [] };
    await pair.evidence.addVerify({ capability: 'catalog', ...found });
    const [red = '', refused = ''] = (await plan()).split('  without --weight: ');
    expect(red).toMatch(
      /nothing stands in its way\n {2}red, and no obstacle: verify: 1 wrong of 2/,
    );
    expect(refused).toContain('in the way: verify: 1 wrong of 2 rows');
  } finally {
    config.remove();
  }
});
