// A topic of real records, read by a flow: whole transactions that are missing, and changes of another
// slot or server, are noticed before anything behind them is taken.
import { expect, test } from '@jest/globals';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import { encodeMessage } from '../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../control/domain/names.ts';
import type { Change, Piece } from '../domain/change.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import { createEncoder, type OutRecord } from '../domain/debezium/encoder.ts';
import { ChangesAssembly } from './consume-changes.ts';

const BEGIN: Position = { timeline: 1, commitLsn: 100n, seq: 0 };
const LIFE = '7/0/64';

function piece(commit: number, size = 1, change: Change = SOMETHING): Piece {
  const commitLsn = BigInt(commit);
  return {
    head: { xid: commit, commitLsn, commitMs: 1, origin: undefined },
    changes: Array.from({ length: size }, () => change),
    ...{ size, bytes: 0, firstSeq: 1, endLsn: commitLsn + 1n },
  };
}

const SOMETHING: Change = { kind: 'message', prefix: 'x', content: 'y' };
const HEARTBEAT: Change = {
  ...{ kind: 'message', prefix: MESSAGE_PREFIX },
  content: encodeMessage({ kind: 'heartbeat', flow: 'f', at: null, xmin: 1 }),
};

/** By transaction; the empty ones have none. */
function written(
  pieces: readonly Piece[],
  life = LIFE,
  after = 100n,
  more: { readonly gone?: bigint; readonly timeline?: number } = {},
): OutRecord[][] {
  const { timeline = 1, gone } = more;
  const encoder = createEncoder({
    ...{ prefix: 'p', database: 'd', timeline, layout: 'changes', tables: () => undefined },
    footing: {
      ...{ life, after, gone },
      last: { position: { ...BEGIN, timeline, commitLsn: after }, endLsn: after },
    },
  });
  return pieces.map((one) => encoder.encode(one, 1));
}

async function read(
  records: readonly OutRecord[],
  from = BEGIN,
  joined?: boolean,
): Promise<bigint[]> {
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const assembly = new ChangesAssembly({
    ...{ from, joined, life: LIFE, foreign: () => undefined, continues: () => Promise.resolve() },
    decode: (record) => decoder.decode(record),
  });
  const taken: bigint[] = [];
  for (const [index, record] of records.entries()) {
    const fetched: Fetched = { ...record, partition: 0, offset: BigInt(index), timestampMs: 0 };
    const found = await assembly.add(fetched);
    if (found) taken.push(found.head.commitLsn);
  }
  return taken;
}

const TRANSACTIONS = [piece(110, 2), piece(120, 0), piece(130), piece(140, 3), piece(150)];

test('transactions follow each other, those without changes left out', async () => {
  const all = written(TRANSACTIONS);
  expect(await read(all.flat())).toEqual([110n, 130n, 140n, 150n]);
  // A relay that begins again behind the first.
  const again = written(TRANSACTIONS.slice(1), LIFE, 111n);
  expect(await read([...all.slice(0, 4).flat(), ...again.flat()])).toEqual([
    110n,
    130n,
    140n,
    150n,
  ]);
});

test.each([[[0]], [[2]], [[3]], [[2, 3]], [[0, 1, 2, 3]]])(
  'without the transactions %j it ends',
  async (gone) => {
    const records = written(TRANSACTIONS).filter((_, index) => !gone.includes(index));
    await expect(read(records.flat())).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
  },
);

test('changes of another slot or server are not taken, those that lie before pass', async () => {
  const other = written([piece(90), piece(105)], '8/0/A', 80n);
  await expect(read(other.flat())).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
  const [before = []] = other;
  expect(await read([...before, ...written(TRANSACTIONS).flat()])).toHaveLength(4);
});

test('heartbeats that are gone are missed by nobody; what lies among them is', async () => {
  const beats = [piece(110, 1, HEARTBEAT), piece(120, 2, HEARTBEAT)];
  const all = written([...beats, piece(130), piece(140, 1, HEARTBEAT), piece(150)]);
  expect(await read(all.flat())).toEqual([110n, 120n, 130n, 140n, 150n]);
  expect(await read(all.slice(1).flat(), BEGIN, false)).toEqual([120n, 130n, 140n, 150n]);
  expect(await read(all.slice(2).flat(), BEGIN, false)).toEqual([130n, 140n, 150n]);
  await expect(read(all.slice(3).flat(), BEGIN, false)).rejects.toMatchObject({
    code: 'KAFKA_LOG_LOST',
    hint: expect.stringMatching(/^Does the topic keep records for less time/) as unknown,
  });
});

test('where retention had emptied the topic goes on who had read all of it, and nobody else', async () => {
  const heartbeat = piece(205, 1, HEARTBEAT);
  const records = written([heartbeat, piece(210), piece(220)], LIFE, 100n, { gone: 200n });
  expect(await read(records.flat(), BEGIN, true)).toEqual([205n, 210n, 220n]);
  expect(await read(records.flat(), { ...BEGIN, commitLsn: 200n })).toEqual([205n, 210n, 220n]);
  for (const some of [records, records.slice(1), records.slice(2)])
    await expect(read(some.flat(), BEGIN, false)).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
  // What the last relay reported is known to have been there.
  const known = { ...BEGIN, commitLsn: 90n };
  await expect(read(records.flat(), known, true)).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
});

test('the tail of a server that is dead is passed by, also where its numbers lie behind', async () => {
  const dead = written([piece(110), piece(190)], '7/1/0/32', 80n);
  const records = written([piece(130), piece(140)], LIFE, 100n, { timeline: 2 });
  const all = [...dead, ...records].flat();
  expect(await read(all, { ...BEGIN, timeline: 2 })).toEqual([130n, 140n]);
});
