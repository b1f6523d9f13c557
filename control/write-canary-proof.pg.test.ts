// Before cohorts write to the service, what they will write must be seen to come back: the rights of the
// applier at the monolith, and a probe. Refused without, with both sides as they were.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Pair } from '../test/support/pair.ts';
import type { LogGate } from '../test/support/sync.ts';
import { atRest, bothStream, gatedItems, type GatedItems } from '../test/support/write-canary.ts';
import { certificates } from './certificates.ts';
import type { MoveResult } from './domain/move.ts';
import { lookAt } from './rollout-look.ts';

let items: GatedItems;
let pair: Pair;
let gate: LogGate;

beforeEach(async () => {
  items = await gatedItems();
  pair = items.pair;
  gate = items.sync.gate;
});

afterEach(() => items.close());

const weigh = (weight: number): Promise<MoveResult> => items.weigh(weight);

async function untouched(): Promise<void> {
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
  expect(await certificates(pair.db, 'catalog')).toEqual([]);
}

test('without a right of the applier at the monolith no cohort writes, and a look of a rollout shows it as a gate', async () => {
  const applier = `m_${pair.tag}_applier`;
  await pair.monolith.query(`REVOKE INSERT ON item FROM ${applier}, PUBLIC`);
  const gates = [
    expect.objectContaining({
      ...{ gate: 'way back', verdict: 'fail', figure: '1 rights missing', limit: 'none missing' },
      note: expect.stringContaining(`${applier} lacks INSERT on`),
    }),
  ];
  await expect(weigh(5)).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    details: { gates },
    hint: expect.stringContaining('GRANT INSERT ON'),
  });
  await untouched();
  const { catalog } = pair.migration.capabilities;
  if (!catalog) throw new Error('the pair has a capability');
  const look = async (given?: Parameters<typeof lookAt>[5]) => {
    const state = await pair.store.readOne('catalog');
    const since = { version: state.version, atMs: 0, nowMs: 0, watch: null };
    const { facts } = await lookAt(pair.evidence, 'catalog', catalog, state, since, given);
    return facts.ahead;
  };
  const coordinator = pair.coordinator();
  expect(await look(() => coordinator.missingRights('catalog'))).toEqual(gates);
  // Where nobody can look nothing is known, which is no pass.
  expect(await look(() => Promise.resolve('the server is away'))).toMatchObject([
    { gate: 'way back', verdict: 'inconclusive', note: 'the server is away' },
  ]);
  expect(await look()).toMatchObject([{ gate: 'way back', verdict: 'inconclusive' }]);
});

test('without a probe that comes back no cohort writes; with one its certificate tells of it', async () => {
  gate.shut();
  await expect(weigh(5)).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    message: expect.stringContaining('the way back is not proven'),
  });
  await untouched();
  gate.open();
  await bothStream(pair);
  await weigh(5);
  expect(await certificates(pair.db, 'catalog')).toMatchObject([
    { outcome: 'done', wayBack: { ms: expect.any(Number) } },
  ]);
  // Raising the share of those that write already proves nothing anew.
  gate.shut();
  await weigh(25);
  expect(await certificates(pair.db, 'catalog')).toHaveLength(1);
});

test('out of a write canary back to the monolith needs no proof: it drains both ways itself', async () => {
  await weigh(5);
  await bothStream(pair);
  await pair.service.query(`REVOKE UPDATE ON article FROM s_${pair.tag}_applier, PUBLIC`);
  await pair.monolith.query(`REVOKE DELETE ON item FROM m_${pair.tag}_applier, PUBLIC`);
  await weigh(0);
  await atRest(pair, { phase: 'canary', weight: 0, shared: false }, ['monolith']);
});
