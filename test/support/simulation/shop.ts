// The two databases that simulated schedules write into: a split table with a unique value, a tree, a
// circle of foreign keys, a composite key, columns that stay and columns of one side only. Their
// constraints are checked at once, or all of them at the end of a transaction.
import type { MigrationInput } from '../../../control/definition.ts';
import { scale, values } from '../../../control/lenses.ts';

export type SideName = 'monolith' | 'service';

export const TABLES: MigrationInput['capabilities'][string]['tables'] = [
  {
    monolith: 'cat',
    service: 'category',
    key: { cat_id: 'id' },
    columns: { nm: 'title', par_id: 'parent_id' },
  },
  {
    monolith: 'prd',
    service: ['product', 'product_text'],
    key: { prd_id: { product: 'id', product_text: 'product_id' } },
    columns: {
      no: 'sku',
      nm: 'name',
      dsc: 'product_text.body',
      prc: scale('price_cents', 100),
      sts: values('state', { A: 'active', D: 'discontinued' }),
      cat_id: 'category_id',
    },
    stays: { stk: { to: 'stock', default: 0 } },
    shared: { monolith: ['own'], service: ['views'] },
  },
  {
    monolith: 'rate',
    service: 'price',
    key: { prd_id: 'product_id', cur: 'currency' },
    columns: { nm: 'label', amount: 'amount' },
  },
  { monolith: 'dept', service: 'team', key: { id: 'id' }, columns: { nm: 'nm', boss: 'lead' } },
  { monolith: 'emp', service: 'person', key: { id: 'id' }, columns: { nm: 'nm', dept: 'team' } },
];

const MONOLITH = `
CREATE TABLE cat (cat_id integer PRIMARY KEY, nm text NOT NULL, par_id integer REFERENCES cat @);
CREATE TABLE prd (
  prd_id bigint PRIMARY KEY, no text NOT NULL UNIQUE @, nm text NOT NULL, dsc text, prc numeric(12,2) NOT NULL,
  sts char(1) NOT NULL, cat_id integer REFERENCES cat @, stk integer NOT NULL DEFAULT 0, own text NOT NULL DEFAULT 'new');
CREATE TABLE rate (prd_id bigint REFERENCES prd @, cur text, nm text NOT NULL, amount numeric, PRIMARY KEY (prd_id, cur));
CREATE TABLE dept (id integer PRIMARY KEY, nm text NOT NULL, boss integer);
CREATE TABLE emp (id integer PRIMARY KEY, nm text NOT NULL, dept integer NOT NULL REFERENCES dept @);
ALTER TABLE dept ADD FOREIGN KEY (boss) REFERENCES emp @;`;

const SERVICE = `
CREATE TABLE category (id integer PRIMARY KEY, title text NOT NULL, parent_id integer REFERENCES category @);
CREATE TABLE product (
  id bigint PRIMARY KEY, sku text NOT NULL UNIQUE @, name text NOT NULL, price_cents bigint NOT NULL,
  state text NOT NULL, category_id integer REFERENCES category @, stock integer NOT NULL DEFAULT 0, views text NOT NULL DEFAULT 'new');
CREATE TABLE product_text (product_id bigint PRIMARY KEY REFERENCES product ON DELETE CASCADE @, body text);
CREATE TABLE price (product_id bigint REFERENCES product @, currency text, label text NOT NULL, amount numeric, PRIMARY KEY (product_id, currency));
CREATE TABLE team (id integer PRIMARY KEY, nm text NOT NULL, lead integer);
CREATE TABLE person (id integer PRIMARY KEY, nm text NOT NULL, team integer NOT NULL REFERENCES team @);
ALTER TABLE team ADD FOREIGN KEY (lead) REFERENCES person @;
-- A table of the service's own, whose rows keep products from being deleted.
CREATE TABLE review (product_id bigint PRIMARY KEY REFERENCES product);`;

/** Every row that is written is noted with its writer; a row named so is refused from appliers for a while. */
const NOTES = `
CREATE SCHEMA sim;
CREATE TABLE sim.refusing (active boolean NOT NULL);
INSERT INTO sim.refusing VALUES (false);
CREATE UNLOGGED TABLE sim.note (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, xid text DEFAULT pg_current_xact_id()::text, tab text, op text, old text, new text);
CREATE FUNCTION sim.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO sim.note (tab, op, old, new) VALUES (TG_TABLE_NAME, TG_OP, OLD::text, NEW::text); RETURN NULL; END $$;
CREATE FUNCTION sim.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.@ LIKE '%bad%' AND current_setting('application_name') LIKE 'banyan-apply-%' AND (SELECT active FROM sim.refusing)
  THEN RAISE EXCEPTION 'refused for now' USING ERRCODE = '23514'; END IF;
  RETURN NEW; END $$;`;

export interface SideTables {
  /** Tables that take part, with their columns in order, children first. */
  readonly tables: Readonly<Record<string, readonly string[]>>;
  readonly keys: Readonly<Record<string, readonly string[]>>;
  /** Columns whose values may be too long to be sent again. */
  readonly long: Readonly<Record<string, string>>;
  readonly sql: (deferred: boolean) => string;
}

const schema = (sql: string, name: string, tables: readonly string[], deferred: boolean): string =>
  [
    sql.replaceAll(' @', deferred ? ' DEFERRABLE INITIALLY DEFERRED' : ''),
    NOTES.replaceAll('@', name),
    // By name before the triggers of foreign keys: a cascade is noted after what caused it.
    ...tables.map(
      (
        table,
      ) => `CREATE TRIGGER "A note" AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION sim.note();
        CREATE TRIGGER "A note of all" AFTER TRUNCATE ON ${table} EXECUTE FUNCTION sim.note();`,
    ),
    `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON ${name === 'nm' ? 'prd' : 'product'} FOR EACH ROW EXECUTE FUNCTION sim.refuse()`,
  ].join('\n');

const monolithTables = {
  rate: ['prd_id', 'cur', 'nm', 'amount'],
  prd: ['prd_id', 'no', 'nm', 'dsc', 'prc', 'sts', 'cat_id', 'stk', 'own'],
  cat: ['cat_id', 'nm', 'par_id'],
  emp: ['id', 'nm', 'dept'],
  dept: ['id', 'nm', 'boss'],
};
const serviceTables = {
  price: ['product_id', 'currency', 'label', 'amount'],
  product_text: ['product_id', 'body'],
  product: ['id', 'sku', 'name', 'price_cents', 'state', 'category_id', 'stock', 'views'],
  category: ['id', 'title', 'parent_id'],
  person: ['id', 'nm', 'team'],
  team: ['id', 'nm', 'lead'],
};

export const SIDES: Readonly<Record<SideName, SideTables>> = {
  monolith: {
    tables: monolithTables,
    keys: { rate: ['prd_id', 'cur'], prd: ['prd_id'], cat: ['cat_id'], emp: ['id'], dept: ['id'] },
    long: { prd: 'dsc' },
    sql: (deferred) => schema(MONOLITH, 'nm', Object.keys(monolithTables), deferred),
  },
  service: {
    tables: serviceTables,
    keys: {
      price: ['product_id', 'currency'],
      product_text: ['product_id'],
      product: ['id'],
      category: ['id'],
      person: ['id'],
      team: ['id'],
    },
    long: { product_text: 'body' },
    sql: (deferred) => schema(SERVICE, 'name', Object.keys(serviceTables), deferred),
  },
};
