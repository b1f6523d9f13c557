// Whoever gave the command wants it to end: a switch that has not flipped is taken back at once, by the command
// itself, and one that has is finished.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { startBanyan, writeConfig } from '../test/support/command.ts';
import { cases } from '../test/support/long.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  noteClean,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { certificates } from './certificates.ts';
import { Replicas } from './replicas.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  await streaming(pair, 'to');
  await streaming(pair, 'back');
  await noteClean(pair);
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

/** Who owned it may write; nobody is held, and the record says so. */
async function takenBack(phase: 'canary' | 'cutover' = 'canary'): Promise<void> {
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase, holding: false });
  expect((await certificates(pair.db, 'catalog')).at(-1)).toMatchObject({ outcome: 'undone' });
  await (phase === 'canary'
    ? pair.monolith.query(`INSERT INTO prd (no, nm, prc) VALUES ('A', 'a', 1)`)
    : pair.service.query(`INSERT INTO category (id, title) VALUES (1, 'a')`));
}

const UNDOABLE = ['checked', 'held', 'fenced', 'drained', 'sequences'];

test.each(cases(UNDOABLE, 'held', 'sequences'))(
  'interrupted at "%s", it is taken back',
  async (step) => {
    let interrupt: (() => void) | undefined;
    const coordinator = pair.coordinator({
      interrupts: (then) => {
        interrupt = then;
        return () => {
          interrupt = undefined;
        };
      },
      onStep: (done) => {
        if (done === step) interrupt?.();
      },
    });
    await expect(
      coordinator.move({ capability: 'catalog', event: 'advance' }),
    ).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(interrupt).toBeUndefined();
    await takenBack();
  },
);

test('interrupted behind its flip, it is finished', async () => {
  let interrupt: (() => void) | undefined;
  const coordinator = pair.coordinator({
    interrupts: (then) => {
      interrupt = then;
      return () => undefined;
    },
    onStep: (done) => {
      if (done === 'flipped') interrupt?.();
    },
  });
  await coordinator.move({ capability: 'catalog', event: 'advance' });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'cutover', holding: false });
});

const COMMANDS = [
  ['advance', 'SIGINT', 'canary'],
  ['abort', 'SIGTERM', 'cutover'],
] as const;

test.each(COMMANDS)(
  '%s that is ended by %s while an edge is busy leaves nobody held, although no caretaker runs',
  async (name, signal, phase) => {
    await advanceTo(pair, phase);
    if (phase === 'cutover') await streaming(pair, 'back');
    const replicas = new Replicas(pair.db);
    const over = new AbortController();
    const beating = (async () => {
      while (!over.signal.aborted) {
        await replicas.heartbeat('busy');
        await sleep(200);
      }
    })();
    const { monolith, services } = pair.connections;
    const config = writeConfig({
      ...pair.migration,
      control: pair.controlUrl,
      monolith,
      services: { catalog: services['catalog'] },
    });
    try {
      const command = startBanyan(['--config', config.file, name, 'catalog']);
      await waitFor(async () => (await pair.store.readOne('catalog')).holding, {
        ...{ timeoutMs: 30_000, what: 'writers to be held' },
      });
      command.child.kill(signal);
      expect(await command.exited).toBe(130);
      await takenBack(phase);
    } finally {
      over.abort();
      await beating;
      config.remove();
    }
  },
);
