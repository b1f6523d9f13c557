// What the tables of a simulation are called at each side.
import type { SideName } from './shop.ts';

/** The same tables under each side's names. */
export interface Names {
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

export const NAMES: Readonly<Record<SideName, Names>> = {
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
