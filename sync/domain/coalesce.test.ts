// The law of folding: however a sequence of changes is cut into batches, and whatever the stream
// leaves out, the target ends as the source is.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Relation, RowChange, Value } from './change.ts';
import { Coalescer } from './coalesce.ts';
import { keyText, targetTables, type RowOperation } from './target-table.ts';
import type { ColumnPair, Edge } from './mapping.ts';

const relation = (table: string, columns: readonly string[]): Relation => ({
  schema: 'public',
  table,
  columns: columns.map((name, index) => ({ name, key: index === 0 })),
});
const DRIVER = relation('thing', ['id', 'name', 'state']);
const PART = relation('words', ['id', 'body']);

const pair = (source: string, target: string): ColumnPair => ({
  source,
  target,
  type: 'text',
  sourceType: 'text',
  map: (value) => value,
  needed: false,
  reference: false,
  wide: false,
  absent: null,
});
const edge = (from: Relation, columns: readonly ColumnPair[], driver: boolean): Edge => ({
  source: from,
  target: { schema: 'public', table: 'item' },
  key: [pair('id', 'id')],
  columns,
  groups: [],
  constants: [],
  driver,
  part: false,
  optional: false,
  filter: [],
  guard: [],
  skipsTriggers: false,
});
const EDGES = [
  edge(DRIVER, [pair('name', 'nm'), pair('state', 'st')], true),
  edge(PART, [pair('body', 'dsc')], false),
];

type Row = (string | null)[];

/** Two source tables and the log of what happened to them. */
class Model {
  readonly things = new Map<string, Row>();
  readonly words = new Map<string, Row>();
  readonly log: RowChange[] = [];

  step([kind, key, other, value, toast]: Step): void {
    const [k, o] = [String(key), String(other)];
    const v = value === 0 ? null : `v${value}`;
    if (kind === 'thing') this.#upsert(this.things, DRIVER, k, [v, `s${value}`], toast);
    else if (kind === 'words') this.#upsert(this.words, PART, k, [v], toast);
    else if (kind === 'no words') this.#remove(this.words, PART, k);
    else if (kind === 'gone') {
      // As a foreign key with a cascade leaves it, in either order.
      if (toast) this.#remove(this.words, PART, k);
      this.#remove(this.things, DRIVER, k);
      this.#remove(this.words, PART, k);
    } else if (this.things.has(k) && !this.things.has(o) && !this.words.has(o)) {
      this.#move(this.things, DRIVER, k, o, toast);
      // A long value of the part may be left out where the rest was sent.
      this.#move(this.words, PART, k, o, toast || value % 2 === 1);
    }
  }

  #upsert(table: Map<string, Row>, of: Relation, key: string, values: Row, toast: boolean): void {
    const before = table.get(key);
    table.set(key, values);
    const sent = values.map((value, index): Value => {
      return before && toast && before[index] === value ? undefined : value;
    });
    this.log.push(
      before
        ? { kind: 'update', relation: of, before: undefined, after: [key, ...sent] }
        : { kind: 'insert', relation: of, after: [key, ...values] },
    );
  }

  #remove(table: Map<string, Row>, of: Relation, key: string): void {
    if (!table.delete(key)) return;
    this.log.push({ kind: 'delete', relation: of, before: [key] });
  }

  #move(table: Map<string, Row>, of: Relation, key: string, to: string, toast: boolean): void {
    const values = table.get(key);
    if (!values) return;
    table.delete(key);
    table.set(to, values);
    const after = [to, ...values.map((value): Value => (toast ? undefined : value))];
    this.log.push({ kind: 'update', relation: of, before: [key], after });
  }

  /** What the target must be: a row for each thing, with its words where it has some. */
  expected(): Record<string, Row> {
    return Object.fromEntries(
      [...this.things].map(([key, row]) => [key, [...row, this.words.get(key)?.[0] ?? null]]),
    );
  }
}

/** What the statements of a batch do, in memory. */
class Target {
  readonly rows = new Map<string, Row>();
  readonly reread = new Set<string>();
  readonly #required: readonly number[];

  constructor(required: readonly number[]) {
    this.#required = required;
  }

  apply(operations: readonly RowOperation[]): void {
    for (const row of operations)
      if (row.exists === 'gone' || row.replaced) this.rows.delete(keyText(row.key));
    for (const row of operations) {
      const key = keyText(row.key);
      const known = row.values.some((value) => value !== undefined);
      const there = this.rows.get(key);
      if (row.partial) this.reread.add(key);
      if (row.exists === 'gone') {
        if (known) this.reread.add(key);
      } else if (there)
        this.rows.set(
          key,
          there.map((old, at) => merge(row.values[at], old)),
        );
      else if (
        row.exists === 'put' &&
        this.#required.every((index) => row.values[index] !== undefined)
      )
        this.rows.set(
          key,
          [0, 1, 2].map((at) => row.values[at] ?? null),
        );
      else this.reread.add(key);
    }
  }

  readAgain(model: Model): void {
    const expected = model.expected();
    for (const key of this.reread) {
      const row = expected[key];
      if (row) this.rows.set(key, row);
      else this.rows.delete(key);
    }
  }
}

function merge(value: Value, old: string | null | undefined): string | null {
  return value === undefined ? (old ?? null) : value;
}

type Step = [
  kind: 'thing' | 'words' | 'no words' | 'gone' | 'moved',
  key: number,
  other: number,
  value: number,
  toast: boolean,
];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('thing', 'words', 'no words', 'gone', 'moved'),
  fc.nat(3),
  fc.nat(3),
  fc.nat(2),
  fc.boolean(),
);

test('folded in any batches, a random history ends as the source does', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 }),
      (steps, cuts) => {
        const model = new Model();
        for (const one of steps) model.step(one);
        const [table] = targetTables(EDGES);
        if (!table) throw new Error('no target');
        const target = new Target(table.required);
        const coalescer = new Coalescer(EDGES, [table]);
        let cut = 0;
        let left = cuts[0] ?? 1;
        for (const change of model.log) {
          coalescer.add(change);
          left -= 1;
          if (left > 0) continue;
          target.apply(coalescer.take().get(table) ?? []);
          cut += 1;
          left = cuts[cut % cuts.length] ?? 1;
        }
        target.apply(coalescer.take().get(table) ?? []);
        target.readAgain(model);
        expect(Object.fromEntries(target.rows)).toEqual(model.expected());
      },
    ),
    { numRuns: 3_000 },
  );
});

test('a row that was deleted and made again is deleted first', () => {
  const [table] = targetTables(EDGES);
  const coalescer = new Coalescer(EDGES, table ? [table] : []);
  coalescer.add({ kind: 'delete', relation: DRIVER, before: ['1'] });
  coalescer.add({ kind: 'insert', relation: DRIVER, after: ['1', 'n', 's'] });
  const [row] = [...coalescer.take().values()].flat();
  expect(row).toMatchObject({ exists: 'put', replaced: true, values: ['n', 's', undefined] });
});

test('a row that takes over the key of one that goes is not folded with it where the target alone knows more of them', () => {
  const gone = { kind: 'delete', relation: DRIVER, before: ['1'] } as const;
  const move = (from: string, to: string): RowChange => ({
    ...{ kind: 'update', relation: DRIVER },
    ...{ before: [from], after: [to, 'n', 's'] },
  });
  const keeping = new Coalescer(EDGES, targetTables(EDGES, new Set(['public.item'])));
  keeping.add(gone);
  expect(
    [move('2', '1'), move('2', '3'), move('1', '1')].map((one) => keeping.tangles(one)),
  ).toEqual([true, false, false]);
  keeping.take();
  expect(keeping.tangles(move('2', '1'))).toBe(false);
  const other = new Coalescer(EDGES, targetTables(EDGES));
  other.add(gone);
  expect(other.tangles(move('2', '1'))).toBe(false);
});

test('a row that would take others along does not go before these have come to point elsewhere', () => {
  const words = { schema: 'public', table: 'saying' };
  const edges = [
    edge(DRIVER, [pair('name', 'nm')], true),
    { ...edge(PART, [pair('body', 'dsc')], true), target: words },
  ];
  const taking = new Map([['public.item', { apart: ['public.saying'], links: [] }]]);
  const coalescer = new Coalescer(edges, targetTables(edges, new Set(), taking));
  const gone = { kind: 'delete', relation: DRIVER, before: ['1'] } as const;
  const said = (kind: 'insert' | 'update', key: string): void => {
    const change = { relation: PART, after: [key, 'b'] };
    coalescer.add(kind === 'insert' ? { kind, ...change } : { kind, ...change, before: undefined });
  };
  // Nothing that the target has: rows that are new, that go too, that come anew.
  said('insert', '1');
  coalescer.add({ kind: 'delete', relation: PART, before: ['2'] });
  coalescer.add({ kind: 'delete', relation: PART, before: ['3'] });
  said('insert', '3');
  expect(coalescer.tangles(gone)).toBe(false);
  said('update', '4');
  expect(coalescer.tangles(gone)).toBe(true);
  expect(coalescer.tangles({ kind: 'delete', relation: PART, before: ['4'] })).toBe(false);
  const renamed: RowChange = {
    ...{ kind: 'update', relation: DRIVER },
    ...{ before: undefined, after: ['1', 'n', 's'] },
  };
  expect(coalescer.tangles(renamed)).toBe(false);
  coalescer.take();
  expect(coalescer.tangles(gone)).toBe(false);
});

test('a row leaves by a change that gives it another key, or takes it out of those that belong', () => {
  const filter = [{ column: 'state', values: ['s'], type: 'text' }];
  const edges = [{ ...edge(DRIVER, [pair('name', 'nm')], true), filter }];
  const coalescer = new Coalescer(edges, targetTables(edges));
  const left = (before: string | undefined, ...after: Value[]): unknown => {
    const old = before === undefined ? undefined : [before];
    return coalescer.leaves({ kind: 'update', relation: DRIVER, before: old, after })?.[0];
  };
  expect(left('1', '2', 'n', 's')).toBe('1');
  expect(left('1', '2', 'n', 'other')).toBe('1');
  expect(left('1', '1', 'n', 'other')).toBe('1');
  expect(left(undefined, '1', 'n', null)).toBe('1');
  expect(left(undefined, '1', 'n', 's')).toBeUndefined();
  // What was not sent is as it was.
  expect(left(undefined, '1', 'n', undefined)).toBeUndefined();
  for (const one of [
    { kind: 'insert', relation: DRIVER, after: ['1', 'n', 'other'] },
    { kind: 'delete', relation: DRIVER, before: ['1'] },
  ] as const)
    expect(coalescer.leaves(one)).toBeUndefined();
});

test('a change without its key names the replica identity', () => {
  const coalescer = new Coalescer(EDGES, targetTables(EDGES));
  expect(() => {
    coalescer.add({ kind: 'delete', relation: DRIVER, before: [null, 'n'] });
  }).toThrow(/replica identity/);
});

test('a row that comes without a mapped column is to be read again, and never a NULL', () => {
  const change = {
    kind: 'insert',
    relation: relation('thing', ['id', 'name']),
    after: ['1', 'n'],
  } as const;
  const coalescer = new Coalescer(EDGES, targetTables(EDGES));
  coalescer.add(change);
  const [row] = [...coalescer.take().values()].flat();
  expect(row).toMatchObject({ partial: true, values: ['n', undefined, undefined] });
  // A guest's rows are not read again.
  const guest = new Coalescer(EDGES, targetTables(EDGES), false);
  expect(() => {
    guest.add(change);
  }).toThrow(/column state/);
});

test('a row that comes without its key column is an error', () => {
  const coalescer = new Coalescer(EDGES, targetTables(EDGES));
  expect(() => {
    coalescer.add({
      kind: 'insert',
      relation: relation('thing', ['name', 'state']),
      after: ['n', 's'],
    });
  }).toThrow(/column id/);
});
