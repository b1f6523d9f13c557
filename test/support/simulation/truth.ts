// What both sides must show in the end, by plain means: the owner's transactions, and what the monolith
// wrote into columns that stay with it, replayed in memory and mapped by hand. Nothing of the engine.
import type { SideName } from './shop.ts';
import type { Note, Row, Rows, Side } from './side.ts';

type Value = string | null;
/** A row by the monolith's names. */
type Fact = Record<string, Value>;

/** The monolith's columns that are mapped, in the order of the same columns at the service. */
const SAME = {
  cat: {
    service: 'category',
    columns: ['cat_id', 'nm', 'par_id'],
    at: ['id', 'title', 'parent_id'],
  },
  rate: {
    service: 'price',
    columns: ['prd_id', 'cur', 'nm', 'amount'],
    at: ['product_id', 'currency', 'label', 'amount'],
  },
  dept: { service: 'team', columns: ['id', 'nm', 'boss'], at: ['id', 'nm', 'lead'] },
  emp: { service: 'person', columns: ['id', 'nm', 'dept'], at: ['id', 'nm', 'team'] },
} as const;

export class Truth {
  readonly #facts = new Map<string, Map<string, Fact>>(
    ['cat', 'prd', 'rate', 'dept', 'emp'].map((table) => [table, new Map()]),
  );

  /** By key of a product, which one had it from which of its versions on. */
  readonly #lines = new Map<string, { readonly from: number; readonly fact: Fact }[]>();
  /** Keys that a product came to by another one: what the service alone knew of it may have come along. */
  readonly #unsure = new Set<string>();

  /** By key of a product, the newest version that the service has seen, and that the monolith removed. */
  readonly #seen = new Map<string, number>();
  readonly #removed = new Map<string, number>();

  /** Takes in what an application has committed at its side. */
  took(side: Side, notes: readonly Note[], owner: SideName): void {
    if (side.name === owner)
      for (const note of notes) {
        const { table, op, old, now } = note;
        const into = this.#facts.get(HOME[table] ?? table) as Map<string, Fact>;
        if (table === 'product_text') continue;
        if (op === 'TRUNCATE') {
          if (table === 'prd') for (const [key, fact] of into) this.#remove(key, fact);
          into.clear();
        }
        const known = old && into.get(side.keyOf(table, old));
        if (old) into.delete(side.keyOf(table, old));
        if (known && table === 'prd' && !(now && now[0] === old[0]))
          this.#remove(old[0] ?? '', known);
        if (!now) continue;
        const fact: Fact = known ?? {};
        Object.assign(fact, factOf(side, table, now, known));
        const key = side.keyOf(table, now);
        into.set(key, fact);
        if (HOME[table] !== 'prd' && table !== 'prd') continue;
        const isMoved = old !== undefined && now[0] !== old[0];
        if (isMoved) this.#unsure.add(key);
        if (!known || isMoved) {
          this.#lines.set(key, [...(this.#lines.get(key) ?? []), { from: version(now[2]), fact }]);
        }
      }
    else if (side.name === 'monolith')
      for (const { now } of notes) {
        // The monolith may not have heard yet that another product has the key, or this one another key.
        const line = this.#lines
          .get(now?.[0] ?? '')
          ?.findLast(({ from }) => from <= version(now?.[2]));
        if (line) line.fact['stk'] = now?.[7] ?? null;
      }
    // A key that the service itself gave again: nobody has seen that product.
    for (const { table, op, now } of notes)
      if (table === 'product' && op === 'INSERT')
        this.#removed.set(now?.[0] ?? '', version(now?.[2]) - 1);
    for (const { table, now } of notes)
      if (table === 'product' && now?.[7] === 'seen')
        this.#seen.set(now[0] ?? '', Math.max(this.#seen.get(now[0] ?? '') ?? 0, version(now[2])));
    if (owner === 'service' && side.name === owner)
      for (const [key, fact] of this.#facts.get('prd') ?? [])
        fact['dsc'] = side.rows.get('product_text')?.get(key)?.[1] ?? null;
  }

  isUnsure(key: string): boolean {
    return this.#unsure.has(key);
  }

  /** Whether a product bears what the service wrote into a column of its own: not when it is another one since. */
  isSeen(key: string): boolean {
    return (this.#seen.get(key) ?? 0) > (this.#removed.get(key) ?? 0);
  }

  #remove(key: string, fact: Fact): void {
    this.#removed.set(key, version(fact['nm']));
  }

  /** Lines to compare: each table's rows by the monolith's names. */
  lines(): string[] {
    return [...this.#facts]
      .flatMap(([table, facts]) => [...facts.values()].map((fact) => lineOf(table, fact)))
      .sort();
  }
}

/** The same lines of what a side's database holds. */
export function linesOf(side: Side, rows: Rows): string[] {
  const lines: string[] = [];
  for (const [table, all] of rows)
    for (const [key, row] of all) {
      if (table === 'product_text') continue;
      const fact = factOf(side, table, row, undefined);
      if (table === 'product') {
        fact['stk'] = row[6] ?? null;
        fact['dsc'] = rows.get('product_text')?.get(key)?.[1] ?? null;
      }
      lines.push(lineOf(HOME[table] ?? table, fact));
    }
  return lines.sort();
}

const HOME: Readonly<Record<string, string>> = {
  product: 'prd',
  product_text: 'prd',
  ...Object.fromEntries(Object.entries(SAME).map(([table, { service }]) => [service, table])),
};

function factOf(side: Side, table: string, row: Row, known: Fact | undefined): Fact {
  const columns = side.tables.tables[table] ?? [];
  const value = (name: string): Value => row[columns.indexOf(name)] ?? null;
  if (table === 'prd')
    return Object.fromEntries(
      columns.filter((name) => name !== 'own').map((name) => [name, value(name)]),
    );
  if (table === 'product')
    return {
      prd_id: value('id'),
      no: value('sku'),
      nm: value('name'),
      dsc: known?.['dsc'] ?? null,
      prc: (Number(value('price_cents')) / 100).toFixed(2),
      sts: value('state') === 'active' ? 'A' : 'D',
      cat_id: value('category_id'),
      stk: known?.['stk'] ?? '0',
    };
  const same = SAME[(HOME[table] ?? table) as keyof typeof SAME];
  const names: readonly string[] = side.name === 'monolith' ? same.columns : same.at;
  return Object.fromEntries(same.columns.map((name, index) => [name, value(names[index] ?? '')]));
}

function version(text: Value | undefined): number {
  return Number(/\d+/.exec(text ?? '')?.[0] ?? 0);
}

function lineOf(table: string, fact: Fact): string {
  return `${table} ${Object.entries(fact)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(' ')}`;
}
