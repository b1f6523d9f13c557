// A mismatch that has been mended: the count begins anew, and what older copies told does not return.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, streaming, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

beforeAll(async () => {
  pair = await createPair();
  await advanceTo(pair, 'sync');
  sync = startSync(pair);
});

afterAll(async () => {
  await sync.stop();
  await pair.close();
});

async function told(version: number, compared: number, mismatched: number): Promise<void> {
  await pair.evidence.addShadow(
    [
      {
        capability: 'catalog',
        route: 'GET /a',
        version,
        compared,
        mismatched,
        dropped: 0,
        undecided: 0,
        noise: 0,
      },
    ],
    [],
  );
}

const advance = (): Promise<unknown> =>
  pair.coordinator().move({ capability: 'catalog', event: 'advance' });

test('outside shadow there is nothing to count', async () => {
  await expect(pair.coordinator().restartShadow('catalog')).rejects.toMatchObject({
    code: 'MOVE_NOT_ALLOWED',
  });
});

test('a mended service is compared from the beginning, and the journal says so', async () => {
  await streaming(pair, 'to');
  await advance();
  const { version, phase } = await pair.store.readOne('catalog');
  expect(phase).toBe('shadow');
  await told(version, 10_000, 3);
  await expect(advance()).rejects.toMatchObject({
    code: 'GATE_REFUSED',
    hint: expect.stringContaining('banyan shadow catalog --restart') as unknown as string,
  });

  await pair.coordinator().restartShadow('catalog', 'price mended');
  expect(await pair.evidence.shadow('catalog')).toEqual({ samples: [], mismatches: [] });
  expect((await pair.store.journal('catalog')).at(-1)).toMatchObject({
    event: 'restart shadow',
    why: 'price mended',
    from: 'shadow',
    to: 'shadow',
  });

  // Copies that began before the restart say nothing of the mended service.
  await told(version, 1, 1);
  await told(version + 1, 10_000, 0);
  await streaming(pair, 'to');
  await advance();
  expect((await pair.store.readOne('catalog')).phase).toBe('canary');
});
