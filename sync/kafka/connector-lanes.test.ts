// The order that a connector's partitions keep, without one: what is sent again, what stands at the same
// place, and where an owner ends.
import { expect, test } from '@jest/globals';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Piece, Relation } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { ConnectorLanes } from './connector-lanes.ts';

const relation: Relation = {
  schema: 'public',
  table: 't',
  columns: [{ name: 'id', key: true }],
};
const FROM = { timeline: 1, commitLsn: 10n, seq: 0 };

/** A change of row `id` at `lsn`, behind the commit at `after`. */
type Row = readonly [id: string, after: bigint, lsn: bigint];

class Partition {
  next = 0n;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }

  records(...rows: readonly Row[]): Fetched[] {
    return rows.map(([id, after, lsn]) => ({
      ...{ topic: this.name, partition: 0, headers: {}, timestampMs: 0, key: id },
      ...{ offset: this.next++, value: `${after}/${lsn}` },
    }));
  }
}

function decode({ key, value }: Fetched): Decoded {
  const [lastCommit, lsn] = (value ?? '').split('/').map(BigInt);
  const change = { kind: 'insert', relation, after: [key] } as const;
  return {
    ...{ kind: 'change', change, snapshot: false, position: undefined, part: 0 },
    head: { xid: 1, lsn, lastCommit, commitMs: 0, origin: undefined, originKnown: true },
  };
}

function lanes(...names: readonly string[]): ConnectorLanes {
  const place = { next: 0n, position: { ...FROM, commitLsn: 0n }, part: 0 };
  return new ConnectorLanes({
    ...{ from: FROM, decode },
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
