// The order that a connector's partitions keep, without one: what is sent again, what stands at the same
// place, and where an owner ends.
import { expect, test } from '@jest/globals';
import type { Fetched } from '../../core/kafka/client.ts';
import type { LogPlace, Piece, Relation } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { ConnectorLanes } from './connector-lanes.ts';
import type { Saying } from './connector-sayings.ts';

const relation: Relation = {
  schema: 'public',
  table: 't',
  columns: [{ name: 'id', key: true }],
};
const FROM = { timeline: 1, commitLsn: 10n, seq: 0 };

/** A change of row `id` at `lsn`, behind the commit at `after`; or a row that was read there. */
type Row = readonly [id: string, after: bigint | undefined | 'read' | 'read beside', lsn: bigint];

class Partition {
  next = 0n;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }

  records(...rows: readonly Row[]): Fetched[] {
    return rows.map(([id, after, lsn]) => ({
      ...{ topic: this.name, partition: 0, headers: {}, timestampMs: 0, key: id },
      ...{ offset: this.next++, value: `${after ?? ''}/${lsn}` },
    }));
  }
}

function decode({ key, value }: Fetched): Decoded {
  const [after = '', lsn = ''] = (value ?? '').split('/');
  const change = { kind: 'insert', relation, after: [key] } as const;
  const snapshot = after.startsWith('read');
  return {
    ...{ kind: 'change', change, snapshot, position: undefined, part: 0 },
    head: {
      ...{ xid: 1, lsn: BigInt(lsn), commitMs: 0, origin: undefined, originKnown: true },
      lastCommit: snapshot || after === '' ? undefined : BigInt(after),
      ...(after === 'read beside' && { isIncremental: true }),
    },
  };
}

const lanes = (...names: readonly string[]): ConnectorLanes => lanesOf(names);

function lanesOf(names: readonly string[], lacks = false): ConnectorLanes {
  const place = { next: 0n, position: { ...FROM, commitLsn: 0n }, part: 0 };
  return new ConnectorLanes({
    ...{ from: FROM, decode, lacks },
    offsets: new Map(names.map((name) => [`${name}/0`, place])),
  });
}

const said = (pieces: readonly Piece[]): string[] =>
  pieces.flatMap(({ changes }) =>
    changes.map((change) =>
      change.kind === 'insert'
        ? (change.after[0] ?? '')
        : change.kind === 'message'
          ? `<${change.content}>`
          : '',
    ),
  );
const word = (content: string) => ({ kind: 'message', prefix: 'banyan', content }) as const;

test('what a connector sends again after a restart is left out, where transactions overlapped too', () => {
  const a = new Partition('a');
  const all = lanes('a');
  // The second transaction began before the first one, and committed behind it.
  const sent: Row[] = [
    ['x', 20n, 50n],
    ['y', 60n, 30n],
    ['z', 60n, 70n],
  ];
  all.give('a/0', a.records(...sent));
  expect(said(all.take())).toEqual(['x', 'y', 'z']);
  all.give('a/0', a.records(...sent, ['x', 80n, 75n]));
  expect(said(all.take())).toEqual(['x']);
});

test('rows of one COPY, which stand at one place, all come, and each once', () => {
  const a = new Partition('a');
  const all = lanes('a');
  const copied: Row[] = ['1', '2', '3'].map((id) => [id, 20n, 30n]);
  all.give('a/0', a.records(...copied.slice(0, 2)));
  expect(said(all.take())).toEqual(['1', '2']);
  all.give('a/0', a.records(...copied));
  expect(said(all.take())).toEqual(['3']);
});

test('a change of owner comes exactly between what was changed before it and what after it', () => {
  const [a, b] = [new Partition('a'), new Partition('b')];
  const all = lanes('a', 'b');
  all.say({ change: word('owner'), lsn: 100n, exact: true });
  all.give('a/0', a.records(['before', 20n, 30n], ['after', 20n, 110n]));
  expect(said(all.take())).toEqual(['before']);
  expect(all.waits('a/0')).toBe(true);
  all.give('b/0', b.records(['before too', 20n, 90n], ['after too', 20n, 120n]));
  expect(said(all.take())).toEqual(['before too', '<owner>', 'after', 'after too']);
});

test('where a partition is idle, its end tells that nothing is left before the change of owner', () => {
  const a = new Partition('a');
  const all = lanes('a', 'b');
  const owner = { change: word('owner'), lsn: 100n, exact: true };
  all.say(owner);
  all.give('a/0', a.records(['after', 20n, 110n]));
  expect(said(all.take())).toEqual([]);
  Object.assign(owner, {
    ends: new Map([
      ['a/0', 1n],
      ['b/0', 0n],
    ]),
  });
  expect(said(all.take())).toEqual(['<owner>', 'after']);
});

test.each([['a'], []].map((there) => ({ there })))(
  'while a topic is missing, a change of owner waits until the connector has confirmed it (there: $there)',
  ({ there }) => {
    const all = lanesOf(there, true);
    const owner: Saying = { change: word('owner'), lsn: 40n, exact: true };
    all.say(owner);
    // Behind it already, while the first record of the other table may be on its way.
    for (const name of there) all.give(`${name}/0`, new Partition(name).records(['1', 20n, 50n]));
    expect(said(all.take())).toEqual([]);
    expect(all.speaks).toBe(false);
    owner.ends = new Map();
    expect(said(all.take())).toEqual(['<owner>', ...there.map(() => '1')]);
  },
);

test('a heartbeat waits for the ends that were read after it, and a mark for nothing', () => {
  const a = new Partition('a');
  const all = lanes('a');
  all.say({ change: word('beat'), lsn: 40n, ends: new Map([['a/0', 2n]]) });
  all.give('a/0', a.records(['1', 20n, 30n]));
  all.say({ change: word('mark') });
  expect(said(all.take())).toEqual(['1', '<mark>']);
  all.give('a/0', a.records(['2', 20n, 50n]));
  const pieces = all.take();
  expect(said(pieces)).toEqual(['2', '<beat>']);
  expect(pieces.at(-1)?.read?.complete).toEqual({ ...FROM, commitLsn: 40n });
});

test('of what tells how far the source is no more waits than is bounded, however long nobody takes it', () => {
  const all = lanes('a');
  all.say({ change: word('mark') });
  for (let lsn = 20n; lsn < 1_020n; lsn++)
    all.say({ change: word(String(lsn)), lsn, ends: new Map([['a/0', 0n]]) });
  const words = said(all.take());
  expect(words.length).toBeLessThan(100);
  expect([words[0], words[1], words.at(-1)]).toEqual(['<mark>', '<20>', '<1019>']);
});

test('an end that lies behind a marker is reached once all before it is done, and not sooner', () => {
  const a = new Partition('a');
  const all = lanes('a', 'b');
  all.say({ change: word('owner'), lsn: 40n, exact: true });
  const ends = new Map([
    ['a/0', 3n],
    ['b/0', 1n],
  ]);
  all.say({ change: word('beat'), lsn: 60n, ends });
  // Two records and the marker that ends their transaction; in the other partition a marker alone.
  all.give('a/0', a.records(['1', 20n, 30n], ['2', 20n, 50n]));
  all.reach('b/0', 1n);
  expect(said(all.take())).toEqual(['1']);
  all.reach('a/0', 3n);
  expect(all.speaks).toBe(false);
  all.say({ change: word('mark') });
  expect(said(all.take())).toEqual(['<mark>']);
  const next = lanes('a', 'b');
  next.say({ change: word('beat'), lsn: 60n, ends });
  next.give('a/0', new Partition('a').records(['1', 20n, 30n], ['2', 20n, 50n]));
  next.reach('b/0', 1n);
  expect(said(next.take())).toEqual(['1', '2']);
  expect(next.speaks).toBe(false);
  next.reach('a/0', 3n);
  expect(next.speaks).toBe(true);
  const pieces = next.take();
  expect(said(pieces)).toEqual(['<beat>']);
  expect([...(pieces.at(-1)?.read?.places ?? [])].map(([, place]) => place.next)).toEqual([3n, 1n]);
});

/** A flow that began at 10 and has come to the change at 70, behind the commit at 60. */
function come(): { readonly a: Partition; readonly all: ConnectorLanes } {
  const a = new Partition('a');
  const all = lanes('a', 'b');
  all.give('a/0', a.records(['x', 20n, 50n], ['y', 60n, 70n]));
  expect(said(all.take())).toEqual(['x', 'y']);
  return { a, all };
}

/** Of the partitions, once the tables are to be copied again. */
const copied = (pieces: readonly Piece[]): unknown => {
  const read = pieces.at(-1)?.read;
  return (
    read?.copyAgain && Array.from(read.places, ([name, place]) => [name, place.next, place.copied])
  );
};

test('a snapshot that began behind the flow has the tables copied again, before any of its rows is taken', () => {
  const { a, all } = come();
  all.give('a/0', a.records(['z', 70n, 75n], ['x', 'read', 100n], ['y', 'read', 100n]));
  const pieces = all.take();
  expect(said(pieces)).toEqual(['z']);
  expect(copied(pieces)).toEqual([
    ['a/0', 3n, 100n],
    ['b/0', 0n, 100n],
  ]);
  expect(all.hole).toBe(100n);
  expect(all.take()).toEqual([]);
  // The next life takes them, and finds the next such snapshot.
  const offsets = pieces.at(-1)?.read?.places ?? new Map<string, LogPlace>();
  const next = new ConnectorLanes({ from: FROM, decode, offsets });
  const again = new Partition('a');
  next.give(
    'a/0',
    again.records(['x', 'read', 100n], ['y', 'read', 100n], ['z', 70n, 75n], ['x', 110n, 120n]),
  );
  expect(said(next.take())).toEqual(['x', 'y', 'x']);
  expect(next.hole).toBeUndefined();
  next.give('a/0', again.records(['x', 'read', 130n]));
  expect(copied(next.take())).toEqual([
    ['a/0', 4n, 130n],
    ['b/0', 0n, 130n],
  ]);
});

test('a snapshot of before the flow, and one that goes on beside the changes, leave nothing out', () => {
  const a = new Partition('a');
  const place = { next: 0n, position: { ...FROM, commitLsn: 0n }, part: 0, copied: 10n };
  const all = new ConnectorLanes({ from: FROM, decode, offsets: new Map([['a/0', place]]) });
  all.give('a/0', a.records(['x', 'read', 9n], ['y', 20n, 50n], ['x', 'read beside', 80n]));
  expect(said(all.take())).toEqual(['x', 'y', 'x']);
  expect(all.hole).toBeUndefined();
});

test('what comes first of a connector that has forgotten where it was is taken where it is new for sure', () => {
  const { a, all } = come();
  all.give('a/0', a.records(['new', undefined, 80n], ['too', undefined, 85n], ['z', 90n, 95n]));
  expect(said(all.take())).toEqual(['new', 'too', 'z']);
  expect(all.hole).toBeUndefined();
});

test.each([65n, 55n])(
  'where it may have come already, at %s, the tables are copied again, and it does not count',
  (lsn) => {
    const { a, all } = come();
    all.give('a/0', a.records(['old?', undefined, lsn], ['y', 60n, 70n], ['new', 75n, 80n]));
    const pieces = all.take();
    expect(said(pieces)).toEqual([]);
    expect(all.hole).toBe(70n);
    const offsets = pieces.at(-1)?.read?.places ?? new Map<string, LogPlace>();
    const next = new ConnectorLanes({ from: FROM, decode, offsets });
    const again = new Partition('a');
    next.give('a/0', again.records(['old?', undefined, lsn], ['y', 60n, 70n], ['new', 75n, 80n]));
    expect(said(next.take())).toEqual(['new']);
    expect(next.hole).toBeUndefined();
  },
);
