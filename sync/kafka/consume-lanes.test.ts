// Whatever order records of several partitions come in, sent once or again: each partition's changes are
// handed over once and in order, and what stands in all of them counts exactly between what lies before
// it and what lies behind it. A life that ends anywhere is gone on with.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import type { Change, Piece, Relation } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { LanesAssembly } from './consume-lanes.ts';
import type { Offsets } from './consume-offsets.ts';

/** Two topics of two partitions. */
const LANES = ['a/0', 'a/1', 'b/0', 'b/1'];
const FROM: Position = { timeline: 1, commitLsn: 5n, seq: 0 };
const RELATION: Relation = { schema: 'public', table: 't', columns: [] };

interface Event {
  readonly commit: number;
  /** Partition of a row; all of a topic that is emptied; all at a message. */
  readonly at: readonly string[];
  readonly kind: 'row' | 'truncate' | 'message';
}

const event = fc.record({
  pick: fc.nat({ max: 9 }),
  same: fc.boolean(),
});

/** In the order of the source; several of a transaction have one commit. */
function eventsOf(picks: readonly { readonly pick: number; readonly same: boolean }[]): Event[] {
  let commit = 10;
  return picks.map(({ pick, same }) => {
    if (!same) commit += 10;
    if (pick === 8) return { commit, at: LANES.slice(0, 2), kind: 'truncate' };
    if (pick === 9) return { commit, at: LANES, kind: 'message' };
    return { commit, at: [LANES[pick % 4] ?? ''], kind: 'row' };
  });
}

/** The records of each partition; `again` says where a relay began anew, and how far back. */
function recordsOf(
  events: readonly Event[],
  again: readonly { readonly at: number; readonly back: number }[],
): Map<string, Fetched[]> {
  const lanes = new Map<string, Fetched[]>(LANES.map((name) => [name, []]));
  const write = (index: number): void => {
    for (const name of events[index]?.at ?? []) {
      const lane = lanes.get(name) ?? [];
      lane.push({
        ...{ topic: name.slice(0, 1), partition: Number(name.slice(2)), key: null },
        ...{ offset: BigInt(lane.length), value: String(index), headers: {}, timestampMs: 0 },
      });
    }
  };
  for (const [index] of events.entries()) {
    write(index);
    for (const { at, back } of again)
      if (at === index)
        for (let from = Math.max(0, index - back); from <= index; from++) write(from);
  }
  return lanes;
}

function assemblyOf(events: readonly Event[], offsets: Offsets, from: Position): LanesAssembly {
  const decode = ({ value }: Fetched): Decoded => {
    const index = Number(value);
    const one = events[index];
    if (!one) return { kind: 'other' };
    const changes: Record<Event['kind'], Change> = {
      row: { kind: 'delete', relation: RELATION, before: [value] },
      truncate: { kind: 'truncate', relations: [RELATION] },
      message: { kind: 'message', prefix: 'banyan', content: String(value) },
    };
    return {
      ...{ kind: 'change', change: changes[one.kind], snapshot: false, part: 0 },
      position: positionOf(events, index),
      head: { xid: one.commit, lsn: 0n, commitMs: 0, origin: undefined, originKnown: true },
    };
  };
  return new LanesAssembly({
    ...{ from, offsets, decode },
    foreign: () => undefined,
    continues: () => Promise.resolve(),
    lanes: new Map(LANES.map((name) => [name, offsets.get(name)?.next ?? 0n])),
  });
}

function positionOf(events: readonly Event[], index: number): Position {
  return { timeline: 1, commitLsn: BigInt(events[index]?.commit ?? 0), seq: index + 1 };
}

/** The numbers of the events in a piece. */
function numbersOf(piece: Piece): number[] {
  return piece.changes.map((change, index) =>
    change.kind === 'delete' ? Number(change.before[0]) : piece.firstSeq + index - 1,
  );
}

test('each partition in order, once; what stands in all of them in its place; a restart goes on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { minLength: 1, maxLength: 30 }),
      fc.array(fc.record({ at: fc.nat({ max: 30 }), back: fc.nat({ max: 8 }) }), { maxLength: 3 }),
      fc.array(fc.record({ lane: fc.nat({ max: 3 }), count: fc.nat({ max: 5 }) }), {
        maxLength: 60,
      }),
      fc.array(fc.nat({ max: 40 }), { maxLength: 3 }),
      async (picks, again, deliveries, deaths) => {
        const events = eventsOf(picks);
        const records = recordsOf(events, again);
        let offsets: Offsets = new Map();
        let from = FROM;
        const applied: number[] = [];
        const live = async (order: typeof deliveries, upTo: number): Promise<void> => {
          const assembly = assemblyOf(events, offsets, from);
          const next = new Map(LANES.map((name) => [name, Number(offsets.get(name)?.next ?? 0n)]));
          let left = upTo;
          for (const { lane, count } of order) {
            const name = LANES[lane] ?? '';
            if (assembly.waits(name)) continue;
            const at = next.get(name) ?? 0;
            assembly.give(name, records.get(name)?.slice(at, at + count) ?? []);
            next.set(name, Math.min(at + count, records.get(name)?.length ?? 0));
            for (const piece of await assembly.take()) {
              if (left-- <= 0) return;
              applied.push(...numbersOf(piece));
              offsets = new Map([...offsets, ...(piece.read?.places ?? [])]);
              from = piece.read?.complete ?? from;
            }
          }
        };
        for (const death of deaths) await live(deliveries, death);
        const rest = Array.from({ length: 40 }, () => [0, 1, 2, 3])
          .flat()
          .map((lane) => ({ lane, count: 100 }));
        await live([...deliveries, ...rest], Infinity);

        // Nothing left out, nothing twice.
        expect([...applied].sort((a, b) => a - b)).toEqual(events.map((_, index) => index));
        const placeOf = new Map(applied.map((index, place) => [index, place]));
        for (const [index, one] of events.entries())
          for (const [later, other] of events.entries()) {
            if (later <= index || !one.at.some((name) => other.at.includes(name))) continue;
            expect([index, later, (placeOf.get(index) ?? 0) < (placeOf.get(later) ?? 0)]).toEqual([
              index,
              later,
              true,
            ]);
          }
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 300) },
  );
});

test('what was taken already, or the copy has brought, need not be readable', async () => {
  const unreadable = (): never => {
    throw new Error('unreadable');
  };
  const assembly = new LanesAssembly({
    ...{ from: FROM, offsets: new Map(), decode: unreadable },
    foreign: () => undefined,
    continues: () => Promise.resolve(),
    lanes: new Map([['a/0', 0n]]),
  });
  const record = (commitLsn: string, offset: bigint): Fetched => ({
    ...{ topic: 'a', partition: 0, offset, key: null, value: '{', timestampMs: 0 },
    headers: { 'banyan.position': `1/0/${commitLsn}/1` },
  });
  assembly.give('a/0', [record('4', 0n)]);
  expect(await assembly.take()).toEqual([]);
  assembly.give('a/0', [record('6', 1n)]);
  await expect(assembly.take()).rejects.toThrow('unreadable');
});
