// What a switch leaves for the record, in its documented shape.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { certificates } from './certificates.ts';
import { definitionVersion } from './definition-version.ts';
import { addHeld } from './held-writes.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  await pair?.close();
});

const LSN = expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) as unknown;

test('each switch, done or undone, leaves who, why, gates, rows verified, barriers, the position it drained to, the pause and what was held', async () => {
  const own = (pair = await createPair());
  await own.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`);
  sync = startSync(own);
  await advanceTo(own, 'canary');
  await streaming(own, 'to');
  await streaming(own, 'back');
  await own.evidence.addVerify({
    ...{ capability: 'catalog', rows: 7, missing: 0, extra: 0, different: 0, unsettled: 0 },
    samples: [],
  });
  const advance = { capability: 'catalog', event: 'advance' } as const;
  const failing = own.coordinator({
    onStep: (step) => {
      if (step === 'held') throw new Error('a failpoint');
    },
  });
  await expect(failing.move({ ...advance, why: 'first' })).rejects.toThrow('a failpoint');
  await own.coordinator({ who: 'ada' }).move({ ...advance, why: 'second' });
  const { catalog } = own.migration.capabilities;
  const definition = catalog && definitionVersion(catalog);
  const heldAt = (await certificates(own.db, 'catalog')).map(({ steps }) =>
    Number(steps.find(({ step }) => step === 'held')?.evidence['version']),
  );
  const [first = 0, second = 0] = heldAt;
  // As two facades would tell.
  const held = { capability: 'catalog', writes: 3, longestMs: 40 };
  await addHeld(own.db, [
    { ...held, version: first, replicaId: 'a' },
    { ...held, version: second, replicaId: 'a' },
    { ...held, version: second, replicaId: 'b', longestMs: 50 },
    { ...held, version: second + 100, replicaId: 'b', longestMs: 5_000 },
  ]);
  const found = await certificates(own.db, 'catalog');
  expect(found).toMatchObject([
    {
      ...{ version: 2, outcome: 'undone', why: 'first', who: 'test', drainedTo: null },
      ...{ pauseMs: null, barriers: { to: null, back: null }, definition },
      held: { writes: 3, longestMs: 40 },
    },
    {
      ...{ from: 'canary', to: 'cutover', outcome: 'done', why: 'second', who: 'ada' },
      verified: { rows: 7, missing: 0 },
      ...{ drainedTo: LSN, barriers: { to: LSN, back: LSN }, definition },
      ...{ wayBack: { position: LSN, ms: expect.any(Number) }, pauseMs: expect.any(Number) },
      held: { writes: 6, longestMs: 50 },
      replicas: [],
    },
  ]);
  const { rows } = await own.db.raw<{ rows: { passed: boolean }[] }>(
    `SELECT ?::pg_lsn <= ?::pg_lsn AS passed`,
    [found[1]?.barriers.to ?? '', found[1]?.drainedTo ?? ''],
  );
  expect(rows).toEqual([{ passed: true }]);
  const [, done] = found;
  expect(done?.gates.map(({ gate, verdict }) => [gate, verdict])).toContainEqual([
    'verify',
    'pass',
  ]);
  expect(done?.steps.map((one) => one.step)).toEqual(
    'checked held fenced drained sequences flipped unfenced released'.split(' '),
  );
});

test('what is noted between a switch and its journal line does not change whose certificate it is', async () => {
  const own = (pair = await createPair());
  sync = startSync(own);
  await advanceTo(own, 'cutover');
  // By time alone these would be taken for what the switch began with.
  await own.db.raw(`UPDATE banyan.switch SET started_at = clock_timestamp() + interval '1 minute'`);
  await own.db.raw(
    `INSERT INTO banyan.journal (capability, who, event, from_phase, to_phase, evidence)
     VALUES ('catalog', 'eve', 'advance', 'cutover', 'cutover', '{"gates": []}')`,
  );
  await own.evidence.addVerify({
    ...{ capability: 'catalog', rows: 99, missing: 1, extra: 0, different: 0, unsettled: 0 },
    samples: [],
  });
  const [certificate] = await certificates(own.db, 'catalog');
  expect(certificate).toMatchObject({ who: 'test', verified: { missing: 0 } });
  expect(certificate?.gates.length).toBeGreaterThan(0);
  const line = (await own.store.journal('catalog')).find(({ id }) => id === certificate?.journal);
  expect(line).toMatchObject({ event: 'advance', from: 'canary' });
});
