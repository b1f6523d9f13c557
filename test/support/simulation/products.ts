// Random writes of a product and what belongs to it: one row at the monolith, two at the service.
import { NEXT, q, type Matter } from './matter.ts';

export class Products {
  readonly #matter: Matter;
  readonly #deferred: boolean;

  constructor(matter: Matter, deferred: boolean) {
    this.#matter = matter;
    this.#deferred = deferred;
  }

  put(id: string, no: string, parent: string | null): string[] {
    const cents = this.#matter.dice.pick(100_000);
    const isActive = this.#matter.dice.chance(0.5);
    if (this.#matter.side.name === 'monolith')
      return [
        `INSERT INTO prd (prd_id, no, nm, dsc, prc, sts, cat_id) VALUES (${id}, ${q(no)}, ${q(this.#matter.version())}, ${q(this.#matter.long())}, ${(cents / 100).toFixed(2)}, '${isActive ? 'A' : 'D'}', ${q(parent)})`,
      ];
    const text = `INSERT INTO product_text VALUES (${id}, ${q(this.#matter.long())})`;
    return [
      `INSERT INTO product (id, sku, name, price_cents, state, category_id) VALUES (${id}, ${q(no)}, ${q(this.#matter.version())}, ${cents}, '${isActive ? 'active' : 'discontinued'}', ${q(parent)})`,
      ...(this.#matter.dice.chance(0.8) ? [text] : []),
    ];
  }

  update(id: string): string {
    const { prd, cat } = this.#matter.names;
    const cents = this.#matter.dice.pick(100_000);
    const isMonolith = this.#matter.side.name === 'monolith';
    const sets = [
      `${prd[4]} = ${isMonolith ? (cents / 100).toFixed(2) : cents}`,
      `${prd[5]} = '${this.#matter.dice.one(isMonolith ? ['A', 'D'] : ['active', 'discontinued'])}'`,
      `${prd[6]} = ${q(this.#matter.any(cat[0]))}`,
      `${prd[2]} = 'N${this.#matter.dice.pick(14)}'`,
    ].filter(() => this.#matter.dice.chance(0.4));
    if (isMonolith && this.#matter.dice.chance(0.2)) sets.push(`stk = ${NEXT}`);
    return `UPDATE ${prd[0]} SET ${[`${prd[3]} = ${q(this.#matter.version())}`, ...sets].join(', ')} WHERE ${prd[1]} = ${id}`;
  }

  text(id: string): string[] {
    if (this.#matter.side.name === 'monolith')
      return [
        `UPDATE prd SET dsc = ${q(this.#matter.long())}, nm = ${q(this.#matter.version())} WHERE prd_id = ${id}`,
      ];
    const bump = `UPDATE product SET name = ${q(this.#matter.version())} WHERE id = ${id}`;
    const own = this.#matter.dice.chance(0.2)
      ? `DELETE FROM product_text WHERE product_id = ${id}`
      : `INSERT INTO product_text VALUES (${id}, ${q(this.#matter.long())}) ON CONFLICT (product_id) DO UPDATE SET body = excluded.body`;
    return this.#matter.dice.chance(0.5) ? [own] : this.#matter.dice.shuffled([bump, own]);
  }

  delete(id: string): string[] {
    const { prd, rate } = this.#matter.names;
    return [
      ...(this.#matter.rows(rate[0]).some((row) => row[0] === id)
        ? [`DELETE FROM ${rate[0]} WHERE ${rate[1]} = ${id}`]
        : []),
      ...(this.#matter.side.name === 'service' && this.#deferred
        ? [`DELETE FROM product_text WHERE product_id = ${id}`]
        : []),
      `DELETE FROM ${prd[0]} WHERE ${prd[1]} = ${id}`,
    ];
  }

  rekey(id: string, to: string): string[] {
    const { prd, rate } = this.#matter.names;
    const dice = this.#matter.dice;
    const move = `UPDATE ${prd[0]} SET ${prd[1]} = ${to}, ${prd[3]} = ${q(this.#matter.version())} WHERE ${prd[1]} = ${id}`;
    const rates = dice.chance(0.85) ? [`DELETE FROM ${rate[0]} WHERE ${rate[1]} = ${id}`] : [];
    if (this.#matter.side.name === 'monolith') return [...rates, move];
    // A part moves along with a long value that is not sent again, or comes anew, or not at all.
    if (this.#deferred && dice.chance(0.5)) {
      const along = `UPDATE product_text SET product_id = ${to} WHERE product_id = ${id}`;
      return [...rates, ...dice.shuffled([move, along])];
    }
    const text = `INSERT INTO product_text VALUES (${to}, ${q(this.#matter.long())})`;
    return [
      ...rates,
      `DELETE FROM product_text WHERE product_id = ${id}`,
      ...[move, ...(dice.chance(0.5) ? [text] : [])],
    ];
  }
}
