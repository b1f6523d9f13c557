// A topic of real records, read by a flow: whole transactions that are missing, and changes of another
// slot or server, are noticed before anything behind them is taken.
import { expect, test } from '@jest/globals';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import { encodeMessage } from '../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../control/domain/names.ts';
import type { Change, Piece } from '../domain/change.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import type { Footing } from '../domain/debezium/chain.ts';
import { Concerns } from '../domain/debezium/concern.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import type { OutRecord } from '../domain/debezium/out-record.ts';
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

const CONCERNS = new Concerns(
  new Map([
    ['mine', ['public.a']],
    ['other', ['public.b']],
  ]),
);
const ownership = (capability: string): Change => ({
  ...{ kind: 'message', prefix: MESSAGE_PREFIX },
  content: encodeMessage({ kind: 'ownership', capability, epoch: 1, owns: true }),
});
const [MINE, OTHER] = [ownership('mine'), ownership('other')];
const OWN_BEAT: Change = {
  ...{ kind: 'message', prefix: MESSAGE_PREFIX },
  content: encodeMessage({ kind: 'heartbeat', flow: 'mine:to', at: null, xmin: 1 }),
};

/** By transaction; the empty ones have none. */
function written(
  pieces: readonly Piece[],
  life = LIFE,
  after = 100n,
  more: Partial<Pick<Footing, 'gone' | 'behind'>> & { readonly timeline?: number } = {},
): OutRecord[][] {
  const { timeline = 1, gone, behind } = more;
  const encoder = createEncoder({
    ...{ prefix: 'p', database: 'd', timeline, layout: 'changes', tables: () => undefined },
    concerns: CONCERNS,
    footing: {
      ...{ life, after, gone, behind },
      last: { position: { ...BEGIN, timeline, commitLsn: after }, endLsn: after },
    },
  });
  return pieces.map((one) => encoder.encode(one, 1));
}

async function read(
  records: readonly OutRecord[],
  from = BEGIN,
  joined?: boolean,
  capability?: string,
): Promise<bigint[]> {
  const decoder = createDecoder({ layout: 'changes', tables: () => undefined });
  const assembly = new ChangesAssembly({
    ...{
      from,
      joined,
      capability,
      life: LIFE,
      foreign: () => undefined,
      continues: () => Promise.resolve(),
    },
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

test('what the flow has taken already, or its copy has brought, need not be readable', async () => {
  const [first = [], ...rest] = written(TRANSACTIONS);
  const records = [first.map((record) => ({ ...record, value: 'nonsense' })), ...rest].flat();
  expect(await read(records, { ...BEGIN, commitLsn: 115n })).toEqual([130n, 140n, 150n]);
  await expect(read(records)).rejects.toMatchObject({ code: 'FLOW_STOPPED' });
});

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

/** By one of the capabilities, from some transaction on. */
const left = (all: readonly OutRecord[][], from: number): Promise<bigint[]> =>
  read(all.slice(from).flat(), BEGIN, false, 'mine');

test('what is gone of others is missed by nobody, and counts for nothing until that is known', async () => {
  const all = written([
    piece(110, 1, OTHER),
    piece(120, 2, OTHER),
    piece(130, 1, OTHER),
    piece(140, 1, OWN_BEAT),
    piece(150, 1, MINE),
  ]);
  expect(await left(all, 0)).toEqual([110n, 120n, 130n, 140n, 150n]);
  expect(await left(all, 1)).toEqual([140n, 150n]);
  expect(await left(all, 3)).toEqual([140n, 150n]);
  expect(await left(all, 4)).toEqual([150n]);
  // Who had read the topic without a gap is not to find one.
  await expect(read(all.slice(1).flat(), BEGIN, true, 'mine')).rejects.toMatchObject({
    code: 'KAFKA_LOG_LOST',
  });
});

test('whatever is gone of its own is found, wherever it is looked for', async () => {
  const all = written([
    piece(110, 1, OTHER),
    piece(120, 1, MINE),
    piece(130, 1, OTHER),
    piece(140, 1, OWN_BEAT),
    piece(150, 1, OTHER),
    piece(160, 1, MINE),
  ]);
  expect(await left(all, 1)).toEqual([120n, 130n, 140n, 150n, 160n]);
  for (const from of [2, 3, 4, 5])
    await expect(left(all, from)).rejects.toMatchObject({
      code: 'KAFKA_LOG_LOST',
      message: expect.stringMatching(
        /what is next of mine comes behind .* 0\/78, and 0\/64/,
      ) as unknown,
    });
  // Within a transaction of others, where its own part begins.
  const mixed = written([piece(110, 1, MINE), piece(120, 1, OTHER)]);
  const both: Piece = { ...piece(130, 2), changes: [OTHER, MINE] };
  const last = written([both], LIFE, 120n, { behind: new Map([['mine', 110n]]) });
  await expect(left([...mixed, ...last], 2)).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
  expect(await left(written([both], LIFE, 120n, { behind: new Map([['mine', 90n]]) }), 0)).toEqual([
    130n,
  ]);
});

test('a hole that retention cannot have made is none of others', async () => {
  const all = written([piece(110, 1, MINE), piece(120, 1, OTHER), piece(130, 1, OTHER)]);
  const holed = [all[0] ?? [], all[2] ?? []].flat();
  await expect(read(holed, BEGIN, false, 'mine')).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
});

test('a relay that begins again says what it knows, and of what comes again no more than is sure', async () => {
  const [records = []] = written([piece(130, 1, OWN_BEAT)], LIFE, 120n, {
    behind: new Map([
      ['mine', 95n],
      ['other', 120n],
    ]),
  });
  expect(await left([records], 0)).toEqual([130n]);
  // All up to 115 is confirmed; what it had of the capability behind that comes again.
  const again = written([piece(120, 1, MINE)], LIFE, 115n, { behind: new Map([['mine', 120n]]) });
  expect(await read(again.flat(), { ...BEGIN, commitLsn: 115n }, false, 'mine')).toEqual([120n]);
  // Where the topic was emptied while nobody looked, it may have been anybody's.
  const gone = written([piece(210, 1, OWN_BEAT)], LIFE, 100n, {
    gone: 200n,
    behind: new Map([['mine', 90n]]),
  });
  await expect(left(gone, 0)).rejects.toMatchObject({ code: 'KAFKA_LOG_LOST' });
});
