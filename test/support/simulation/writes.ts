// Random transactions of an application on its side of a simulation, made from the rows that are there.
// Every write of a row gives it a new version, the next number of a clock. Some of them a constraint
// refuses: then nothing has happened.
import { quoteLiteral } from '../../../core/postgres/identifiers.ts';
import type { Dice } from './dice.ts';
import type { SideName } from './shop.ts';
import type { Row, Side } from './side.ts';

/** The same tables under each side's names. */
interface Names {
  readonly cat: readonly [table: string, id: string, name: string, parent: string];
  readonly prd: readonly [
    table: string,
    id: string,
    no: string,
    name: string,
    price: string,
    state: string,
    cat: string,
  ];
  readonly rate: readonly [table: string, id: string, cur: string, name: string, amount: string];
  readonly dept: readonly [table: string, id: string, name: string, boss: string];
  readonly emp: readonly [table: string, id: string, name: string, dept: string];
}

const NAMES: Readonly<Record<SideName, Names>> = {
  monolith: {
    cat: ['cat', 'cat_id', 'nm', 'par_id'],
    prd: ['prd', 'prd_id', 'no', 'nm', 'prc', 'sts', 'cat_id'],
    rate: ['rate', 'prd_id', 'cur', 'nm', 'amount'],
    dept: ['dept', 'id', 'nm', 'boss'],
    emp: ['emp', 'id', 'nm', 'dept'],
  },
  service: {
    cat: ['category', 'id', 'title', 'parent_id'],
    prd: ['product', 'id', 'sku', 'name', 'price_cents', 'state', 'category_id'],
    rate: ['price', 'product_id', 'currency', 'label', 'amount'],
    dept: ['team', 'id', 'nm', 'lead'],
    emp: ['person', 'id', 'nm', 'team'],
  },
};

const CURRENCIES = ['EUR', 'USD', '{"x,\\', "é'"];
const SPICE = ['', '', '', '"', '\\', ',{}', "é'", '\n\t', 'NULL'];

/** Stands for the next version until the order of statements is known. */
const NEXT = '§';

const WEIGHTS = {
  'insert cat': 4,
  'update cat': 3,
  'delete cat': 2,
  're-key cat': 1,
  'insert prd': 6,
  'update prd': 8,
  'update text': 4,
  'delete prd': 3,
  'insert prd again': 2,
  're-key prd': 8,
  'swap no': 2,
  'pass no on': 2,
  'swap keys': 1,
  'insert rate': 4,
  'update rate': 3,
  'delete rate': 2,
  're-key rate': 2,
  'insert circle': 3,
  'update circle': 3,
  'delete circle': 2,
  'many rows': 1,
  'insert many': 0.15,
  truncate: 0.6,
  stock: 3,
};

type Kind = keyof typeof WEIGHTS;

export class Writes {
  readonly #side: Side;
  readonly #names: Names;
  readonly #dice: Dice;
  readonly #clock: { now: number };
  readonly #deferred: boolean;
  /** Whether a key may come again after its row is gone. */
  reuses = false;

  constructor(side: Side, dice: Dice, clock: { now: number }, deferred: boolean) {
    this.#side = side;
    this.#names = NAMES[side.name];
    this.#dice = dice;
    this.#clock = clock;
    this.#deferred = deferred;
  }

  /** A transaction of the owner of the data, of many kinds or of this one. */
  own(only?: Kind): { readonly what: string; readonly statements: string[] } {
    if (only) return { what: only, statements: this.#numbered(this.#make(only)) };
    const kinds: Kind[] = [];
    const parts: string[][] = [];
    for (let count = this.#dice.one([1, 1, 2, 3, 6]); count > 0; count--) {
      const kind = this.#dice.weighted(WEIGHTS);
      const part = this.#make(kind);
      if (part.length === 0) continue;
      kinds.push(kind);
      parts.push(part);
    }
    const inOrder = this.#deferred ? this.#dice.shuffled(parts) : parts;
    return { what: kinds.join(', '), statements: this.#numbered(inOrder.flat()) };
  }

  /** A transaction of one who owns nothing but what stays with it. */
  guest(): { readonly what: string; readonly statements: string[] } {
    return this.#side.name === 'monolith'
      ? { what: 'stock', statements: this.#numbered(this.#make('stock')) }
      : { what: 'views', statements: this.#views() };
  }

  #numbered(statements: readonly string[]): string[] {
    return statements.map((text) => text.replaceAll(NEXT, () => String(++this.#clock.now)));
  }

  #make(kind: Kind): string[] {
    const dice = this.#dice;
    const { cat, prd, rate, dept, emp } = this.#names;
    const isService = this.#side.name === 'service';
    switch (kind) {
      case 'insert cat': {
        const id = this.#free(cat[0], 7);
        return id === undefined
          ? []
          : [this.#insert(cat, [id, this.#version(), this.#any(cat[0])])];
      }
      case 'update cat':
        return this.#on(cat[0], (id) => [
          `UPDATE ${cat[0]} SET ${cat[2]} = ${q(this.#version())}, ${cat[3]} = ${q(this.#any(cat[0]))} WHERE ${cat[1]} = ${id}`,
        ]);
      case 'delete cat':
        return this.#on(cat[0], (id) => [
          ...this.#rows(prd[0])
            .filter((row) => row[isService ? 5 : 6] === id)
            .map(
              (row) =>
                `UPDATE ${prd[0]} SET ${prd[6]} = NULL, ${prd[3]} = ${q(this.#version())} WHERE ${prd[1]} = ${row[0]}`,
            ),
          ...this.#rows(cat[0])
            .filter((row) => row[2] === id)
            .map(
              (row) =>
                `UPDATE ${cat[0]} SET ${cat[3]} = NULL, ${cat[2]} = ${q(this.#version())} WHERE ${cat[1]} = ${row[0]}`,
            ),
          `DELETE FROM ${cat[0]} WHERE ${cat[1]} = ${id}`,
        ]);
      case 're-key cat':
        return this.#on(cat[0], (id) => [
          `UPDATE ${cat[0]} SET ${cat[1]} = ${1 + dice.pick(12)}, ${cat[2]} = ${q(this.#version())} WHERE ${cat[1]} = ${id}`,
        ]);
      case 'insert prd': {
        const id =
          isService && !this.reuses && dice.chance(0.5)
            ? String(100 + ++this.#clock.now)
            : this.#free(prd[0], 8);
        if (id === undefined) return [];
        const parent = dice.chance(0.3) ? this.#free(cat[0], 7) : undefined;
        const parts = [
          ...(parent === undefined ? [] : [this.#insert(cat, [parent, this.#version(), null])]),
          ...this.#product(id, `N${dice.pick(14)}`, parent ?? this.#any(cat[0])),
        ];
        return this.#deferred ? dice.shuffled(parts) : parts;
      }
      case 'update prd':
        return this.#on(prd[0], (id) => [this.#updateProduct(id)]);
      case 'update text':
        return this.#on(prd[0], (id) => this.#text(id));
      case 'delete prd':
        return this.#on(prd[0], (id) => this.#deleteProduct(id));
      case 'insert prd again':
        return this.#on(prd[0], (id, row) => [
          ...this.#deleteProduct(id),
          ...this.#product(id, row[1] ?? '', this.#any(cat[0])),
        ]);
      case 're-key prd':
        return this.#on(prd[0], (id) => this.#rekeyProduct(id, String(1 + dice.pick(12))));
      case 'swap no':
        return this.#two(prd[0], (a, b) => {
          const set = (no: string, id: string): string =>
            `UPDATE ${prd[0]} SET ${prd[2]} = ${q(no)}, ${prd[3]} = ${q(this.#version())} WHERE ${prd[1]} = ${id}`;
          return [
            ...(this.#deferred && dice.chance(0.5) ? [] : [set('between', a[0] ?? '')]),
            ...[set(a[1] ?? '', b[0] ?? ''), set(b[1] ?? '', a[0] ?? '')],
          ];
        });
      case 'pass no on':
        return this.#two(prd[0], (a, b) => [
          ...(dice.chance(0.5)
            ? this.#deleteProduct(a[0] ?? '')
            : [
                `UPDATE ${prd[0]} SET ${prd[2]} = 'P${NEXT}', ${prd[3]} = ${q(this.#version())} WHERE ${prd[1]} = ${a[0]}`,
              ]),
          `UPDATE ${prd[0]} SET ${prd[2]} = ${q(a[1] ?? '')}, ${prd[3]} = ${q(this.#version())} WHERE ${prd[1]} = ${b[0]}`,
        ]);
      case 'swap keys':
        return this.#two(cat[0], (a, b) => {
          const move = (from: string, to: string): string =>
            `UPDATE ${cat[0]} SET ${cat[1]} = ${to}, ${cat[2]} = ${q(this.#version())} WHERE ${cat[1]} = ${from}`;
          return [move(a[0] ?? '', '50'), move(b[0] ?? '', a[0] ?? ''), move('50', b[0] ?? '')];
        });
      case 'insert rate':
        return this.#on(prd[0], (id) => [
          this.#insert(rate, [
            id,
            dice.one(CURRENCIES),
            this.#version(),
            dice.one(['1.50', 'NaN', null, '-0.001']),
          ]),
        ]);
      case 'update rate':
        return this.#on(rate[0], (_, row) => [
          `UPDATE ${rate[0]} SET ${rate[3]} = ${q(this.#version())}, ${rate[4]} = ${dice.pick(100)} WHERE ${sameRate(rate, row)}`,
        ]);
      case 'delete rate':
        return this.#on(rate[0], (_, row) => [
          `DELETE FROM ${rate[0]} WHERE ${sameRate(rate, row)}`,
        ]);
      case 're-key rate':
        return this.#on(rate[0], (_, row) => [
          `UPDATE ${rate[0]} SET ${rate[2]} = ${q(dice.one(CURRENCIES))}, ${rate[3]} = ${q(this.#version())} WHERE ${sameRate(rate, row)}`,
        ]);
      case 'insert circle': {
        const id = this.#free(dept[0], 4);
        const who = this.#free(emp[0], 6);
        if (who === undefined) return [];
        const other = this.#any(dept[0]);
        if (id === undefined || (other !== null && dice.chance(0.4)))
          return other === null ? [] : [this.#insert(emp, [who, this.#version(), other])];
        if (this.#deferred)
          return dice.shuffled([
            this.#insert(dept, [id, this.#version(), who]),
            this.#insert(emp, [who, this.#version(), id]),
          ]);
        return [
          this.#insert(dept, [id, this.#version(), null]),
          this.#insert(emp, [who, this.#version(), id]),
          `UPDATE ${dept[0]} SET ${dept[3]} = ${who}, ${dept[2]} = ${q(this.#version())} WHERE ${dept[1]} = ${id}`,
        ];
      }
      case 'update circle':
        return dice.chance(0.5)
          ? this.#on(dept[0], (id) => [
              `UPDATE ${dept[0]} SET ${dept[3]} = ${q(this.#any(emp[0]))}, ${dept[2]} = ${q(this.#version())} WHERE ${dept[1]} = ${id}`,
            ])
          : this.#on(emp[0], (id) => [
              `UPDATE ${emp[0]} SET ${emp[3]} = ${this.#any(dept[0]) ?? '1'}, ${emp[2]} = ${q(this.#version())} WHERE ${emp[1]} = ${id}`,
            ]);
      case 'delete circle':
        return this.#on(dept[0], (id) => [
          `UPDATE ${dept[0]} SET ${dept[3]} = NULL, ${dept[2]} = ${q(this.#version())} WHERE ${dept[3]} IN (SELECT ${emp[1]} FROM ${emp[0]} WHERE ${emp[3]} = ${id})`,
          `DELETE FROM ${emp[0]} WHERE ${emp[3]} = ${id}`,
          `DELETE FROM ${dept[0]} WHERE ${dept[1]} = ${id}`,
        ]);
      case 'many rows':
        return [
          `UPDATE ${prd[0]} SET ${prd[3]} = ${q(this.#version())}`,
          `UPDATE ${rate[0]} SET ${rate[3]} = ${q(this.#version())}`,
        ];
      case 'insert many':
        return [
          `INSERT INTO ${cat[0]} SELECT i, ${q(this.#version())}, NULL FROM generate_series(1000, 1110) i`,
        ];
      case 'truncate':
        return [
          dice.one([
            `TRUNCATE ${rate[0]}`,
            `TRUNCATE ${prd[0]} CASCADE`,
            `TRUNCATE ${dept[0]}, ${emp[0]}`,
            `TRUNCATE ${cat[0]} CASCADE`,
          ]),
        ];
      case 'stock':
        return isService
          ? this.#on('product', (id) => [
              `UPDATE product SET views = 'seen', name = ${q(this.#version())} WHERE id = ${id}`,
            ])
          : this.#on('prd', (id) => [`UPDATE prd SET stk = ${NEXT} WHERE prd_id = ${id}`]);
    }
  }

  /** A column of the service's own. */
  #views(): string[] {
    return this.#on('product', (id) => [`UPDATE product SET views = 'seen' WHERE id = ${id}`]);
  }

  #product(id: string, no: string, parent: string | null): string[] {
    const cents = this.#dice.pick(100_000);
    const isActive = this.#dice.chance(0.5);
    if (this.#side.name === 'monolith')
      return [
        `INSERT INTO prd (prd_id, no, nm, dsc, prc, sts, cat_id) VALUES (${id}, ${q(no)}, ${q(this.#version())}, ${q(this.#long())}, ${(cents / 100).toFixed(2)}, '${isActive ? 'A' : 'D'}', ${q(parent)})`,
      ];
    const text = `INSERT INTO product_text VALUES (${id}, ${q(this.#long())})`;
    return [
      `INSERT INTO product (id, sku, name, price_cents, state, category_id) VALUES (${id}, ${q(no)}, ${q(this.#version())}, ${cents}, '${isActive ? 'active' : 'discontinued'}', ${q(parent)})`,
      ...(this.#dice.chance(0.8) ? [text] : []),
    ];
  }

  #updateProduct(id: string): string {
    const { prd, cat } = this.#names;
    const cents = this.#dice.pick(100_000);
    const isMonolith = this.#side.name === 'monolith';
    const sets = [
      `${prd[4]} = ${isMonolith ? (cents / 100).toFixed(2) : cents}`,
      `${prd[5]} = '${this.#dice.one(isMonolith ? ['A', 'D'] : ['active', 'discontinued'])}'`,
      `${prd[6]} = ${q(this.#any(cat[0]))}`,
      `${prd[2]} = 'N${this.#dice.pick(14)}'`,
    ].filter(() => this.#dice.chance(0.4));
    if (isMonolith && this.#dice.chance(0.2)) sets.push(`stk = ${NEXT}`);
    return `UPDATE ${prd[0]} SET ${[`${prd[3]} = ${q(this.#version())}`, ...sets].join(', ')} WHERE ${prd[1]} = ${id}`;
  }

  #text(id: string): string[] {
    if (this.#side.name === 'monolith')
      return [
        `UPDATE prd SET dsc = ${q(this.#long())}, nm = ${q(this.#version())} WHERE prd_id = ${id}`,
      ];
    const bump = `UPDATE product SET name = ${q(this.#version())} WHERE id = ${id}`;
    const own = this.#dice.chance(0.2)
      ? `DELETE FROM product_text WHERE product_id = ${id}`
      : `INSERT INTO product_text VALUES (${id}, ${q(this.#long())}) ON CONFLICT (product_id) DO UPDATE SET body = excluded.body`;
    return this.#dice.chance(0.5) ? [own] : this.#dice.shuffled([bump, own]);
  }

  #deleteProduct(id: string): string[] {
    const { prd, rate } = this.#names;
    return [
      ...(this.#rows(rate[0]).some((row) => row[0] === id)
        ? [`DELETE FROM ${rate[0]} WHERE ${rate[1]} = ${id}`]
        : []),
      ...(this.#side.name === 'service' && this.#deferred
        ? [`DELETE FROM product_text WHERE product_id = ${id}`]
        : []),
      `DELETE FROM ${prd[0]} WHERE ${prd[1]} = ${id}`,
    ];
  }

  #rekeyProduct(id: string, to: string): string[] {
    const { prd, rate } = this.#names;
    const dice = this.#dice;
    const move = `UPDATE ${prd[0]} SET ${prd[1]} = ${to}, ${prd[3]} = ${q(this.#version())} WHERE ${prd[1]} = ${id}`;
    const rates = dice.chance(0.85) ? [`DELETE FROM ${rate[0]} WHERE ${rate[1]} = ${id}`] : [];
    if (this.#side.name === 'monolith') return [...rates, move];
    // A part moves along with a long value that is not sent again, or comes anew, or not at all.
    if (this.#deferred && dice.chance(0.5)) {
      const along = `UPDATE product_text SET product_id = ${to} WHERE product_id = ${id}`;
      return [...rates, ...dice.shuffled([move, along])];
    }
    const text = `INSERT INTO product_text VALUES (${to}, ${q(this.#long())})`;
    return [
      ...rates,
      `DELETE FROM product_text WHERE product_id = ${id}`,
      ...[move, ...(dice.chance(0.5) ? [text] : [])],
    ];
  }

  #insert([table]: readonly [string, ...string[]], values: readonly (string | null)[]): string {
    return `INSERT INTO ${table} VALUES (${values.map(q).join(', ')})`;
  }

  #version(): string {
    const spice = this.#dice.chance(0.1) ? ' bad' : this.#dice.one(SPICE);
    return `v${NEXT} ${spice}`;
  }

  #long(): string | null {
    return this.#dice.chance(0.15) ? null : `v${NEXT} long`;
  }

  #rows(table: string): Row[] {
    return [...(this.#side.rows.get(table)?.values() ?? [])];
  }

  #on(table: string, make: (id: string, row: Row) => string[]): string[] {
    const rows = this.#rows(table);
    if (rows.length === 0) return [];
    const row = this.#dice.one(rows);
    return make(row[0] ?? '', row);
  }

  #two(table: string, make: (a: Row, b: Row) => string[]): string[] {
    const [a, b] = this.#dice.shuffled(this.#rows(table));
    return a && b ? make(a, b) : [];
  }

  #any(table: string): string | null {
    const rows = this.#rows(table);
    return rows.length === 0 || this.#dice.chance(0.2) ? null : (this.#dice.one(rows)[0] ?? null);
  }

  /** A key that no row has. */
  #free(table: string, below: number): string | undefined {
    const taken = new Set(this.#rows(table).map((row) => row[0]));
    const free = Array.from({ length: below }, (_, index) => String(index + 1)).filter(
      (id) => !taken.has(id),
    );
    return free.length === 0 ? undefined : this.#dice.one(free);
  }
}

function q(value: string | null): string {
  return value === null ? 'NULL' : quoteLiteral(value);
}

function sameRate(names: Names['rate'], row: Row): string {
  return `${names[1]} = ${q(row[0] ?? null)} AND ${names[2]} = ${q(row[1] ?? null)}`;
}
