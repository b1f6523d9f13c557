// The monolith's server fails over in the middle of a write canary, to a standby that lacks what the service has
// long applied: the canary is left although sync to has stopped, and then one command copies again.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type pg from 'pg';
import { waitFor } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { ask, openReplicated, recopied, type Replicated } from '../test/support/failover.ts';
import { SESSION, type Pair } from '../test/support/pair.ts';
import { serverUrl } from '../test/support/postgres.ts';
import {
  advanceTo,
  startSync,
  stopped,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { atRest, bothStream, createItems, sameItems } from '../test/support/write-canary.ts';

let source: Replicated;
let pair: Pair;
let sync: RunningSync | undefined;
/** A session at the new server. */
let promoted: pg.Client | undefined;

beforeEach(async () => {
  source = await openReplicated();
  pair = await createItems({ servers: { monolith: source.url } });
  sync = startSync(pair);
  await advanceTo(pair, 'canary');
  await bothStream(pair);
});

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await promoted?.end();
  promoted = undefined;
  await pair.close();
  await source.remove();
});

/** The pair as it is after the failover. */
async function afterwards(): Promise<Pair> {
  promoted ??= await connect(serverUrl(pair.monolith.database ?? '', source.url), SESSION);
  return { ...pair, monolith: promoted };
}

const weigh = (weight: number): Promise<unknown> =>
  pair.coordinator().move({ capability: 'catalog', event: 'weight', weight });

test('it is left, its tables are copied again, and it can be entered anew', async () => {
  await weigh(20);
  await bothStream(pair);
  await source.slotIsCopied();
  await source.fallBehind();
  await ask(pair.monolithAppUrl, `UPDATE item SET tag = 'lost' WHERE tag = 'seed1'`);
  await waitFor(
    async () =>
      (await pair.service.query(`SELECT FROM article WHERE label = 'lost'`)).rowCount === 1,
    { timeoutMs: 30_000, what: 'the service to have what will be lost' },
  );
  await source.failOver();
  await waitFor(async () => (await stopped(pair, 'to')).code === 'FLOW_STOPPED', {
    ...{ timeoutMs: 30_000, what: 'the flow to stop' },
  });
  await expect(recopied(pair)).rejects.toMatchObject({
    hint: expect.stringContaining('end the write canary'),
  });
  await ask(pair.serviceAppUrl, 'UPDATE article SET count = 3 WHERE id = 6');
  await streaming(pair, 'back');
  await weigh(0);
  expect(await recopied(pair)).toEqual(['to']);
  await streaming(pair, 'to');
  await sameItems(await afterwards());
  await weigh(20);
  await bothStream(pair);
  await ask(pair.monolithAppUrl, `UPDATE item SET n = 7 WHERE id = 2`);
  // Its answer never came.
  await ask(pair.monolithAppUrl, 'UPDATE item SET n = n + 6 WHERE id = 6');
  await ask(pair.serviceAppUrl, `UPDATE article SET count = 8 WHERE id = 4`);
  await bothStream(pair);
  await bothStream(pair);
  const again = await afterwards();
  expect(await sameItems(again)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ id: '2', n: 7 }),
      expect.objectContaining({ id: '4', n: 8 }),
      expect.objectContaining({ id: '6', n: 9 }),
    ]),
  );
  await atRest(again, { phase: 'canary', weight: 20, shared: true }, ['monolith', 'service']);
}, 180_000);
