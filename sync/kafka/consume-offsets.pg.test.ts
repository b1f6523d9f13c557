// Offsets move with the data, in the target's transaction and by compare-and-swap: a consumer that was
// paused and wakes up after another one took over has no effect, also where positions say nothing.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openFlow } from '../../test/support/flow.ts';
import { createPair, type Pair } from '../../test/support/pair.ts';
import { advanceTo, startSync, streaming } from '../../test/support/sync.ts';
import type { Piece, Relation } from '../domain/change.ts';
import { loadOffsets, saveOffsets } from './consume-offsets.ts';

let pair: Pair;

beforeEach(async () => {
  pair = await createPair();
});
afterEach(async () => {
  await pair.close();
});

const CATEGORIES: Relation = {
  ...{ schema: 'public', table: 'cat' },
  columns: ['cat_id', 'nm', 'par_id'].map((name) => ({ name, key: name === 'cat_id' })),
};

/** A row that came by a partition, at this offset. */
function piece(partition: number, offset: bigint, id: number, commitLsn: bigint): Piece {
  const position = { timeline: 1, commitLsn, seq: 1 };
  return {
    head: { xid: 1, commitLsn, commitMs: 0, origin: undefined },
    changes: [{ kind: 'insert', relation: CATEGORIES, after: [String(id), 'by Kafka', null] }],
    ...{ size: 1, bytes: 1, firstSeq: 1, endLsn: commitLsn },
    read: {
      places: new Map([[`t/${partition}`, { next: offset + 1n, position, part: 0 }]]),
      // The other partitions have not come so far: the position of the whole stands.
      complete: { timeline: 1, commitLsn: 1n, seq: 0 },
      due: false,
    },
  };
}

test('whoever has not seen the latest offset cannot commit, and its data is not there', async () => {
  await advanceTo(pair, 'sync');
  const sync = startSync(pair);
  await streaming(pair, 'to');
  await sync.stop();
  const flow = await openFlow(pair);
  try {
    const [first, zombie] = [await flow.applier(), await flow.applier()];
    const { commitLsn } = first.checkpoint.position;
    const late = commitLsn + 1_000n;
    await first.apply([piece(0, 7n, 1, late)]);
    await expect(zombie.apply([piece(0, 7n, 2, late)])).rejects.toMatchObject({
      code: 'APPLIER_REPLACED',
    });
    await expect(zombie.apply([piece(0, 9n, 2, late)])).rejects.toMatchObject({
      code: 'APPLIER_REPLACED',
    });
    await first.apply([piece(0, 8n, 3, late + 1n), piece(1, 0n, 4, late)]);
    expect(first.checkpoint.position.commitLsn).toBe(commitLsn);
    const offsets = await loadOffsets(flow.target.client, 'catalog:to');
    expect([...offsets].map(([name, { next }]) => [name, next])).toEqual([
      ['t/0', 9n],
      ['t/1', 1n],
    ]);
    const { rows } = await pair.service.query<{ id: number }>('SELECT id FROM category ORDER BY 1');
    expect(rows.map(({ id }) => id)).toEqual([1, 3, 4]);
  } finally {
    await flow.close();
  }
});

test('an offset moves only from where it was', async () => {
  await advanceTo(pair, 'sync');
  const position = { timeline: 1, commitLsn: 5n, seq: 2 };
  const at = (
    next: bigint,
  ): Map<string, { next: bigint; position: typeof position; part: number }> =>
    new Map([['a.b/3', { next, position, part: 1 }]]);
  const flow = 'catalog:to';
  expect(await saveOffsets(pair.service, flow, new Map(), at(4n))).toBe(true);
  expect(await saveOffsets(pair.service, flow, new Map(), at(5n))).toBe(false);
  expect(await saveOffsets(pair.service, flow, at(3n), at(5n))).toBe(false);
  expect(await saveOffsets(pair.service, flow, at(4n), at(5n))).toBe(true);
  expect(await saveOffsets(pair.service, flow, at(4n), at(4n))).toBe(true);
  expect(await loadOffsets(pair.service, flow)).toEqual(at(5n));
});
