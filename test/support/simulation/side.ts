// One side of a simulation: a real database, whose triggers note each row that anybody writes. From the
// notes come its log, as a slot would give it, and its rows in memory, as a snapshot would show them: a
// transaction may be in the log and not visible yet.
import type pg from 'pg';
import { sqlState } from '../../../core/postgres/connect.ts';
import type { Change, Relation, Value } from '../../../sync/domain/change.ts';
import type { Snapshot } from '../../../sync/domain/snapshot.ts';
import type { Dice } from './dice.ts';
import { History } from './history.ts';
import { SIDES, type SideName, type SideTables } from './shop.ts';

export type Row = readonly (string | null)[];

export interface Note {
  readonly table: string;
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE';
  readonly old: Row | undefined;
  readonly now: Row | undefined;
}

/** Tables by name, their rows by key. */
export type Rows = Map<string, Map<string, Row>>;

interface Lingering {
  readonly xid: number;
  readonly tables: ReadonlySet<string>;
  /** What its rows were before; undefined where there was none. */
  readonly before: readonly (readonly [table: string, key: string, row: Row | undefined])[];
}

interface NoteRow {
  readonly id: string;
  readonly xid: string;
  readonly tab: string;
  readonly op: Note['op'];
  readonly old: string | null;
  readonly new: string | null;
}

/** What points to each other is written by transactions that see each other. */
const FAMILIES = [
  new Set(['cat', 'prd', 'rate', 'category', 'product', 'product_text', 'price']),
  new Set(['dept', 'emp', 'team', 'person']),
];

export class Side {
  readonly name: SideName;
  readonly client: pg.Client;
  readonly tables: SideTables;
  history: History;
  rows: Rows = new Map();
  #dice: Dice;
  #lastNote = '0';
  #relations = new Map<string, Relation>();
  #lingering: Lingering[] = [];

  constructor(name: SideName, client: pg.Client, dice: Dice) {
    this.name = name;
    this.client = client;
    this.tables = SIDES[name];
    this.#dice = dice;
    this.history = new History(dice);
  }

  /** An empty database and an empty log. */
  async reset(dice: Dice, more: string): Promise<void> {
    this.#dice = dice;
    this.history = new History(dice);
    this.#lingering = [];
    this.rows = new Map(
      Object.keys(this.tables.tables).map((table) => [table, new Map<string, Row>()]),
    );
    this.#describe();
    const names = [
      ...Object.keys(this.tables.tables),
      ...(this.name === 'service' ? ['review'] : []),
    ];
    const results = (await this.client.query(`SET session_replication_role = replica;
      ${names.map((table) => `DELETE FROM ${table}`).join(';')};
      SET session_replication_role = origin;
      DELETE FROM banyan.parked; DELETE FROM banyan.reread; DELETE FROM banyan.backfill; DELETE FROM banyan.checkpoint;
      UPDATE sim.refusing SET active = false WHERE active;
      ${more};
      SELECT coalesce(max(id), 0)::text AS id FROM sim.note`)) as unknown as pg.QueryResult<{
      id: string;
    }>[];
    this.#lastNote = results.at(-1)?.rows[0]?.id ?? '0';
  }

  /** Tables are described anew now and then, each with the key or the whole row as its identity. */
  #describe(): void {
    for (const [table, columns] of Object.entries(this.tables.tables)) {
      const whole = this.#dice.chance(0.3);
      const key = this.tables.keys[table] ?? [];
      this.#relations.set(table, {
        schema: 'public',
        table,
        columns: columns.map((name) => ({ name, key: whole || key.includes(name) })),
      });
    }
  }

  /** Runs an application's transaction; undefined, and no effect, when a constraint refuses it. */
  async write(statements: readonly string[]): Promise<Note[] | undefined> {
    try {
      const results = (await this.client.query(
        `BEGIN; ${statements.join(';\n')}; COMMIT; ${this.#asking()}`,
      )) as unknown as pg.QueryResult<NoteRow>[];
      const [written] = this.#grouped(results.at(-1)?.rows ?? []);
      if (!written) return [];
      this.#log(written.notes, this.#dice.chance(0.1) ? 'erp' : undefined);
      return written.notes;
    } catch (error) {
      await this.client.query('ROLLBACK');
      // 55006: a truncate behind writes whose constraints are not checked yet.
      if (!/^(23|55006)/.test(sqlState(error) ?? '')) throw error;
      return undefined;
    }
  }

  /** What the applier has written here since the last look, by transaction; it goes into the log as an echo. */
  async collect(origin: string): Promise<Note[]> {
    const { rows } = await this.client.query<NoteRow>(this.#asking());
    const all = this.#grouped(rows);
    for (const { notes } of all) this.#log(notes, origin);
    return all.flatMap(({ notes }) => notes);
  }

  keyOf(table: string, row: Row): string {
    const columns = this.tables.tables[table] ?? [];
    return (this.tables.keys[table] ?? []).map((name) => row[columns.indexOf(name)]).join('\u0000');
  }

  /** Transactions that are committed and in the log, and that nobody sees yet. */
  snapshot(): Snapshot {
    const xids = this.#lingering.map(({ xid }) => xid);
    const { nextXid } = this.history;
    return { xmin: xids[0] ?? nextXid, xmax: nextXid, running: new Set(xids) };
  }

  /** The rows that a snapshot shows now. */
  visible(table: string): Row[] {
    const seen = new Map(this.rows.get(table));
    for (const { before } of [...this.#lingering].reverse())
      for (const [one, key, row] of [...before].reverse())
        if (one === table)
          if (row) seen.set(key, row);
          else seen.delete(key);
    return [...seen.values()];
  }

  /** Everything that is committed becomes visible. */
  appear(): void {
    this.#lingering = [];
  }

  #asking(): string {
    return `SELECT n.id::text, xid, tab, op, old, new FROM sim.note n WHERE n.id > ${this.#lastNote} ORDER BY n.id`;
  }

  #grouped(rows: readonly NoteRow[]): { xid: string; notes: Note[] }[] {
    const groups: { xid: string; notes: Note[] }[] = [];
    for (const row of rows) {
      this.#lastNote = row.id;
      if (groups.at(-1)?.xid !== row.xid) groups.push({ xid: row.xid, notes: [] });
      groups.at(-1)?.notes.push({
        table: row.tab,
        op: row.op,
        old: parseRow(row.old),
        now: parseRow(row.new),
      });
    }
    return groups;
  }

  #log(notes: readonly Note[], origin: string | undefined): void {
    if (this.#dice.chance(0.05)) this.#describe();
    const before: [string, string, Row | undefined][] = [];
    for (const { table, op, old, now } of notes) {
      const rows = this.rows.get(table) as Map<string, Row>;
      if (op === 'TRUNCATE') {
        for (const [key, row] of rows) before.push([table, key, row]);
        rows.clear();
      }
      if (old) {
        before.push([table, this.keyOf(table, old), old]);
        rows.delete(this.keyOf(table, old));
      }
      if (now) {
        const key = this.keyOf(table, now);
        before.push([table, key, rows.get(key)]);
        rows.set(key, now);
      }
    }
    const touched = new Set(notes.map(({ table }) => table));
    const families = FAMILIES.filter((family) => [...touched].some((table) => family.has(table)));
    const meets = ({ tables }: Lingering): boolean =>
      families.some((family) => [...tables].some((table) => family.has(table)));
    this.#lingering = this.#lingering.filter((one) => !meets(one));
    const xid = this.history.append(this.#changes(notes), origin);
    if (this.#dice.chance(0.4)) this.#lingering.push({ xid, tables: touched, before });
  }

  #changes(notes: readonly Note[]): Change[] {
    const changes: Change[] = [];
    for (const { table, op, old, now } of notes) {
      const relation = this.#relations.get(table) as Relation;
      const last = changes.at(-1);
      if (op === 'TRUNCATE') {
        if (last?.kind === 'truncate')
          changes.splice(-1, 1, { kind: 'truncate', relations: [...last.relations, relation] });
        else changes.push({ kind: 'truncate', relations: [relation] });
      } else if (op === 'INSERT') changes.push({ kind: 'insert', relation, after: now ?? [] });
      else if (op === 'DELETE')
        changes.push({ kind: 'delete', relation, before: image(relation, old ?? []) });
      else changes.push(this.#update(table, relation, old ?? [], now ?? []));
    }
    return changes;
  }

  /** A long value that was not touched is not sent; under a whole row as identity the old one has it. */
  #update(table: string, relation: Relation, old: Row, now: Row): Change {
    const whole = relation.columns.every(({ key }) => key);
    const moved = this.keyOf(table, old) !== this.keyOf(table, now);
    const long = relation.columns.findIndex(({ name }) => name === this.tables.long[table]);
    const after: Value[] = [...now];
    if (
      !whole &&
      long >= 0 &&
      old[long] === now[long] &&
      now[long] !== null &&
      this.#dice.chance(0.7)
    )
      after[long] = undefined;
    return {
      kind: 'update',
      relation,
      before: whole || moved ? image(relation, old) : undefined,
      after,
    };
  }
}

/** A key image has NULL for what is not in the key. */
function image({ columns }: Relation, row: Row): Row {
  return row.map((value, index) => (columns[index]?.key ? value : null));
}

/** PostgreSQL's text of a row: `(1,"a ""b""",)`. */
export function parseRow(text: string | null): Row | undefined {
  if (text === null) return undefined;
  const row: (string | null)[] = [];
  let at = 1;
  while (at < text.length) {
    let value: string | null = null;
    for (let quoted = false; quoted || (text[at] !== ',' && text[at] !== ')'); at++) {
      const character = text[at] as string;
      value ??= '';
      if (character === '\\') value += text[++at] ?? '';
      else if (character !== '"') value += character;
      else if (quoted && text[at + 1] === '"') value += text[++at] ?? '';
      else quoted = !quoted;
    }
    row.push(value);
    at += 1;
  }
  return row;
}
