// What a switch leaves for the record, in its documented shape.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { certificates } from './certificates.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  await pair?.close();
});

test('each switch, done or undone, leaves who, why, gates, rows verified, the position it drained to, and the pause', async () => {
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
  const found = await certificates(own.db, 'catalog');
  expect(found).toMatchObject([
    { version: 1, outcome: 'undone', why: 'first', who: 'test', drainedTo: null, pauseMs: null },
    {
      ...{ from: 'canary', to: 'cutover', outcome: 'done', why: 'second', who: 'ada' },
      verified: { rows: 7, missing: 0 },
      drainedTo: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
      pauseMs: expect.any(Number),
      replicas: [],
    },
  ]);
  const [, done] = found;
  expect(done?.gates.map(({ gate, verdict }) => [gate, verdict])).toContainEqual([
    'verify',
    'pass',
  ]);
  expect(done?.steps.map((one) => one.step)).toEqual(
    'checked held fenced drained sequences flipped unfenced released'.split(' '),
  );
});
