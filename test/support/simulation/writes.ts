// Random transactions of an application on its side of a simulation, made from the rows that are there.
// Every write of a row gives it a new version, the next number of a clock. Some of them a constraint
// refuses: then nothing has happened.
import type { Dice } from './dice.ts';
import { Matter, NEXT, q } from './matter.ts';
import type { Names } from './names.ts';
import { Products } from './products.ts';
import type { Row, Side } from './side.ts';

const CURRENCIES = ['EUR', 'USD', '{"x,\\', "é'"];

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
  readonly #matter: Matter;
  readonly #products: Products;
  readonly #clock: { now: number };
  readonly #deferred: boolean;
  /** Whether a key may come again after its row is gone. */
  reuses = false;

  constructor(side: Side, dice: Dice, clock: { now: number }, deferred: boolean) {
    this.#matter = new Matter(side, dice);
    this.#products = new Products(this.#matter, deferred);
    this.#clock = clock;
    this.#deferred = deferred;
  }

  /** A transaction of the owner of the data, of many kinds or of this one. */
  own(only?: Kind): { readonly what: string; readonly statements: string[] } {
    if (only) return { what: only, statements: this.#numbered(this.#make(only)) };
    const kinds: Kind[] = [];
    const parts: string[][] = [];
    for (let count = this.#matter.dice.one([1, 1, 2, 3, 6]); count > 0; count--) {
      const kind = this.#matter.dice.weighted(WEIGHTS);
      const part = this.#make(kind);
      if (part.length === 0) continue;
      kinds.push(kind);
      parts.push(part);
    }
    const inOrder = this.#deferred ? this.#matter.dice.shuffled(parts) : parts;
    return { what: kinds.join(', '), statements: this.#numbered(inOrder.flat()) };
  }

  /** A transaction of one who owns nothing but what stays with it. */
  guest(): { readonly what: string; readonly statements: string[] } {
    return this.#matter.side.name === 'monolith'
      ? { what: 'stock', statements: this.#numbered(this.#make('stock')) }
      : { what: 'views', statements: this.#views() };
  }

  #numbered(statements: readonly string[]): string[] {
    return statements.map((text) => text.replaceAll(NEXT, () => String(++this.#clock.now)));
  }

  #make(kind: Kind): string[] {
    const dice = this.#matter.dice;
    const { cat, prd, rate, dept, emp } = this.#matter.names;
    const isService = this.#matter.side.name === 'service';
    switch (kind) {
      case 'insert cat': {
        const id = this.#matter.free(cat[0], 7);
        return id === undefined
          ? []
          : [this.#matter.insert(cat, [id, this.#matter.version(), this.#matter.any(cat[0])])];
      }
      case 'update cat':
        return this.#matter.on(cat[0], (id) => [
          `UPDATE ${cat[0]} SET ${cat[2]} = ${q(this.#matter.version())}, ${cat[3]} = ${q(this.#matter.any(cat[0]))} WHERE ${cat[1]} = ${id}`,
        ]);
      case 'delete cat':
        return this.#matter.on(cat[0], (id) => [
          ...this.#matter
            .rows(prd[0])
            .filter((row) => row[isService ? 5 : 6] === id)
            .map(
              (row) =>
                `UPDATE ${prd[0]} SET ${prd[6]} = NULL, ${prd[3]} = ${q(this.#matter.version())} WHERE ${prd[1]} = ${row[0]}`,
            ),
          ...this.#matter
            .rows(cat[0])
            .filter((row) => row[2] === id)
            .map(
              (row) =>
                `UPDATE ${cat[0]} SET ${cat[3]} = NULL, ${cat[2]} = ${q(this.#matter.version())} WHERE ${cat[1]} = ${row[0]}`,
            ),
          `DELETE FROM ${cat[0]} WHERE ${cat[1]} = ${id}`,
        ]);
      case 're-key cat':
        return this.#matter.on(cat[0], (id) => [
          `UPDATE ${cat[0]} SET ${cat[1]} = ${1 + dice.pick(12)}, ${cat[2]} = ${q(this.#matter.version())} WHERE ${cat[1]} = ${id}`,
        ]);
      case 'insert prd': {
        const id =
          isService && !this.reuses && dice.chance(0.5)
            ? String(100 + ++this.#clock.now)
            : this.#matter.free(prd[0], 8);
        if (id === undefined) return [];
        const parent = dice.chance(0.3) ? this.#matter.free(cat[0], 7) : undefined;
        const parts = [
          ...(parent === undefined
            ? []
            : [this.#matter.insert(cat, [parent, this.#matter.version(), null])]),
          ...this.#products.put(id, `N${dice.pick(14)}`, parent ?? this.#matter.any(cat[0])),
        ];
        return this.#deferred ? dice.shuffled(parts) : parts;
      }
      case 'update prd':
        return this.#matter.on(prd[0], (id) => [this.#products.update(id)]);
      case 'update text':
        return this.#matter.on(prd[0], (id) => this.#products.text(id));
      case 'delete prd':
        return this.#matter.on(prd[0], (id) => this.#products.delete(id));
      case 'insert prd again':
        return this.#matter.on(prd[0], (id, row) => [
          ...this.#products.delete(id),
          ...this.#products.put(id, row[1] ?? '', this.#matter.any(cat[0])),
        ]);
      case 're-key prd':
        return this.#matter.on(prd[0], (id) => this.#products.rekey(id, String(1 + dice.pick(12))));
      case 'swap no':
        return this.#matter.two(prd[0], (a, b) => {
          const set = (no: string, id: string): string =>
            `UPDATE ${prd[0]} SET ${prd[2]} = ${q(no)}, ${prd[3]} = ${q(this.#matter.version())} WHERE ${prd[1]} = ${id}`;
          return [
            ...(this.#deferred && dice.chance(0.5) ? [] : [set('between', a[0] ?? '')]),
            ...[set(a[1] ?? '', b[0] ?? ''), set(b[1] ?? '', a[0] ?? '')],
          ];
        });
      case 'pass no on':
        return this.#matter.two(prd[0], (a, b) => [
          ...(dice.chance(0.5)
            ? this.#products.delete(a[0] ?? '')
            : [
                `UPDATE ${prd[0]} SET ${prd[2]} = 'P${NEXT}', ${prd[3]} = ${q(this.#matter.version())} WHERE ${prd[1]} = ${a[0]}`,
              ]),
          `UPDATE ${prd[0]} SET ${prd[2]} = ${q(a[1] ?? '')}, ${prd[3]} = ${q(this.#matter.version())} WHERE ${prd[1]} = ${b[0]}`,
        ]);
      case 'swap keys':
        return this.#matter.two(cat[0], (a, b) => {
          const move = (from: string, to: string): string =>
            `UPDATE ${cat[0]} SET ${cat[1]} = ${to}, ${cat[2]} = ${q(this.#matter.version())} WHERE ${cat[1]} = ${from}`;
          return [move(a[0] ?? '', '50'), move(b[0] ?? '', a[0] ?? ''), move('50', b[0] ?? '')];
        });
      case 'insert rate':
        return this.#matter.on(prd[0], (id) => [
          this.#matter.insert(rate, [
            id,
            dice.one(CURRENCIES),
            this.#matter.version(),
            dice.one(['1.50', 'NaN', null, '-0.001']),
          ]),
        ]);
      case 'update rate':
        return this.#matter.on(rate[0], (_, row) => [
          `UPDATE ${rate[0]} SET ${rate[3]} = ${q(this.#matter.version())}, ${rate[4]} = ${dice.pick(100)} WHERE ${sameRate(rate, row)}`,
        ]);
      case 'delete rate':
        return this.#matter.on(rate[0], (_, row) => [
          `DELETE FROM ${rate[0]} WHERE ${sameRate(rate, row)}`,
        ]);
      case 're-key rate':
        return this.#matter.on(rate[0], (_, row) => [
          `UPDATE ${rate[0]} SET ${rate[2]} = ${q(dice.one(CURRENCIES))}, ${rate[3]} = ${q(this.#matter.version())} WHERE ${sameRate(rate, row)}`,
        ]);
      case 'insert circle': {
        const id = this.#matter.free(dept[0], 4);
        const who = this.#matter.free(emp[0], 6);
        if (who === undefined) return [];
        const other = this.#matter.any(dept[0]);
        if (id === undefined || (other !== null && dice.chance(0.4)))
          return other === null
            ? []
            : [this.#matter.insert(emp, [who, this.#matter.version(), other])];
        if (this.#deferred)
          return dice.shuffled([
            this.#matter.insert(dept, [id, this.#matter.version(), who]),
            this.#matter.insert(emp, [who, this.#matter.version(), id]),
          ]);
        return [
          this.#matter.insert(dept, [id, this.#matter.version(), null]),
          this.#matter.insert(emp, [who, this.#matter.version(), id]),
          `UPDATE ${dept[0]} SET ${dept[3]} = ${who}, ${dept[2]} = ${q(this.#matter.version())} WHERE ${dept[1]} = ${id}`,
        ];
      }
      case 'update circle':
        return dice.chance(0.5)
          ? this.#matter.on(dept[0], (id) => [
              `UPDATE ${dept[0]} SET ${dept[3]} = ${q(this.#matter.any(emp[0]))}, ${dept[2]} = ${q(this.#matter.version())} WHERE ${dept[1]} = ${id}`,
            ])
          : this.#matter.on(emp[0], (id) => [
              `UPDATE ${emp[0]} SET ${emp[3]} = ${this.#matter.any(dept[0]) ?? '1'}, ${emp[2]} = ${q(this.#matter.version())} WHERE ${emp[1]} = ${id}`,
            ]);
      case 'delete circle':
        return this.#matter.on(dept[0], (id) => [
          `UPDATE ${dept[0]} SET ${dept[3]} = NULL, ${dept[2]} = ${q(this.#matter.version())} WHERE ${dept[3]} IN (SELECT ${emp[1]} FROM ${emp[0]} WHERE ${emp[3]} = ${id})`,
          `DELETE FROM ${emp[0]} WHERE ${emp[3]} = ${id}`,
          `DELETE FROM ${dept[0]} WHERE ${dept[1]} = ${id}`,
        ]);
      case 'many rows':
        return [
          `UPDATE ${prd[0]} SET ${prd[3]} = ${q(this.#matter.version())}`,
          `UPDATE ${rate[0]} SET ${rate[3]} = ${q(this.#matter.version())}`,
        ];
      case 'insert many':
        return [
          `INSERT INTO ${cat[0]} SELECT i, ${q(this.#matter.version())}, NULL FROM generate_series(1000, 1110) i`,
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
          ? this.#matter.on('product', (id) => [
              `UPDATE product SET views = 'seen', name = ${q(this.#matter.version())} WHERE id = ${id}`,
            ])
          : this.#matter.on('prd', (id) => [`UPDATE prd SET stk = ${NEXT} WHERE prd_id = ${id}`]);
    }
  }

  /** A column of the service's own. */
  #views(): string[] {
    return this.#matter.on('product', (id) => [
      `UPDATE product SET views = 'seen' WHERE id = ${id}`,
    ]);
  }
}

function sameRate(names: Names['rate'], row: Row): string {
  return `${names[1]} = ${q(row[0] ?? null)} AND ${names[2]} = ${q(row[1] ?? null)}`;
}
