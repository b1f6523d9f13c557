// A topic of real records, read by a flow: whole transactions that are missing, and changes of another
// slot or server, are noticed before anything behind them is taken.
import { expect, test } from '@jest/globals';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import type { Piece } from '../domain/change.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import { createEncoder, type OutRecord } from '../domain/debezium/encoder.ts';
import { ChangesAssembly } from './consume-changes.ts';

const BEGIN: Position = { timeline: 1, commitLsn: 100n, seq: 0 };
const LIFE = '7/0/64';

function piece(commit: number, size = 1): Piece {
  const commitLsn = BigInt(commit);
  return {
    head: { xid: commit, commitLsn, commitMs: 1, origin: undefined },
    changes: Array.from({ length: size }, () => ({ kind: 'message', prefix: 'x', content: 'y' })),
    ...{ size, bytes: 0, firstSeq: 1, endLsn: commitLsn + 1n },
  };
}

/** By transaction; the empty ones have none. */
function written(pieces: readonly Piece[], life = LIFE, after = 100n): OutRecord[][] {
  const encoder = createEncoder({
    ...{ prefix: 'p', database: 'd', timeline: 1, layout: 'changes', tables: () => undefined },
    footing: { life, after, last: { position: { ...BEGIN, commitLsn: after }, endLsn: after } },
  });
  return pieces.map((one) => encoder.encode(one, 1));
}

async function read(records: readonly OutRecord[], from = BEGIN): Promise<bigint[]> {
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const assembly = new ChangesAssembly({
    ...{ from, life: LIFE, foreign: () => undefined, continues: () => Promise.resolve() },
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
