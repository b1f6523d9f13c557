// A flow whose server says nothing does not end when it is told to; nobody else waits for that.
import { afterEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync | undefined;
let release: () => void = () => undefined;

afterEach(async () => {
  release();
  await sync?.stop();
  await pair.close();
});

test('a flow that does not end is paused all the same, and the one that follows waits for its end', async () => {
  pair = await createPair();
  await advanceTo(pair, 'sync');
  let opened = 0;
  let holds = false;
  const held = Promise.withResolvers<undefined>();
  const released = Promise.withResolvers<undefined>();
  release = () => {
    released.resolve(undefined);
  };
  sync = startSync(pair, {
    wrapLog: (log) => {
      opened += 1;
      return {
        timeline: log.timeline,
        acknowledge: (lsn) => {
          log.acknowledge(lsn);
        },
        close: () => log.close(),
        read: async (signal) => {
          const pieces = await log.read(signal);
          if (!holds) return pieces;
          held.resolve(undefined);
          await released.promise;
          return pieces;
        },
      };
    },
  });
  await streaming(pair, 'to');
  holds = true;
  await held.promise;
  await pair.coordinator().pauseFlows('catalog');
  const becomes = (status: string): Promise<unknown> =>
    waitFor(async () => (await pair.evidence.flows('catalog'))[0]?.status === status, {
      timeoutMs: 30_000,
      what: `the flow to be ${status}`,
    });
  await becomes('paused');
  await pair.coordinator().resumeFlows('catalog');
  await pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('N1', 'meanwhile', 1)`);
  const { rows } = await pair.service.query('SELECT 1 FROM product');
  expect(rows).toEqual([]);
  expect(opened).toBe(1);
  holds = false;
  release();
  await equal(pair);
  expect(opened).toBe(2);
  await streaming(pair, 'to');
});
