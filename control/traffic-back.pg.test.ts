// Traffic goes back with the service's database out of reach.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, startSync, type RunningSync } from '../test/support/sync.ts';

let pair: Pair;
let sync: RunningSync;

beforeEach(async () => {
  pair = await createPair();
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  await pair.coordinator().move({ capability: 'catalog', event: 'weight', weight: 50 });
});

afterEach(async () => {
  await sync.stop();
  await pair.close();
});

test('with the service’s database down, reads go back and the canary is left', async () => {
  const gone = 'postgres://nobody@127.0.0.1:1/gone';
  const { connections } = pair;
  const service = connections.services['catalog'];
  const coordinator = pair.coordinator({
    connections: {
      ...connections,
      services: {
        catalog: { ...service, database: { capture: gone, applier: gone, coordinator: gone } },
      } as never,
    },
  });
  const move = coordinator.move.bind(coordinator);
  await move({ capability: 'catalog', event: 'weight', weight: 0 });
  expect(await pair.store.readOne('catalog')).toMatchObject({ phase: 'canary', weight: 0 });
  await expect(move({ capability: 'catalog', event: 'weight', weight: 10 })).rejects.toMatchObject({
    code: 'DATABASE_UNREACHABLE',
  });
  await move({ capability: 'catalog', event: 'rollback' });
  expect((await pair.store.readOne('catalog')).phase).toBe('shadow');
});
