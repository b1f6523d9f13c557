// What was acknowledged, and whether both databases hold it: exactly once, with the values that were
// acknowledged. The shop's stock is the non-idempotent part: what was there at the start plus every
// movement since must be what is there now, on both sides.
import type pg from 'pg';

export interface FailedRequest {
  readonly phase: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly body: string;
}

export interface AcknowledgedProduct {
  readonly id: number;
  /** Set for a product that was created. */
  readonly number: string | undefined;
  readonly name: string;
  readonly price: string;
}

export interface AcknowledgedOrder {
  readonly reference: string;
  readonly phase: string;
  readonly lines: number;
  readonly quantity: number;
}

export interface LedgerVerdict {
  readonly acknowledged: number;
  readonly checked: number;
  readonly lost: string[];
  readonly doubled: string[];
}

export class Ledger {
  readonly failures: FailedRequest[] = [];
  readonly #products = new Map<number, AcknowledgedProduct>();
  readonly #orders: AcknowledgedOrder[] = [];
  requests = 0;
  #stock = new Map<string, number>();
  #firstMovement = '0';

  request(): void {
    this.requests += 1;
  }

  failed(failure: FailedRequest): void {
    this.failures.push(failure);
  }

  product(product: AcknowledgedProduct): void {
    this.#products.set(product.id, product);
  }

  order(order: AcknowledgedOrder): void {
    this.#orders.push(order);
  }

  ordersByPhase(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { phase } of this.#orders) counts[phase] = (counts[phase] ?? 0) + 1;
    return counts;
  }

  /** To be called before the load starts. */
  async open(shop: pg.Client): Promise<void> {
    const stock = await shop.query<{ id: string; stock: number }>(
      'SELECT prd_id AS id, stk_qty AS stock FROM prd',
    );
    this.#stock = new Map(stock.rows.map((row) => [row.id, row.stock]));
    const last = await shop.query<{ last: string }>(
      'SELECT coalesce(max(stkmv_id), 0) AS last FROM stkmv',
    );
    this.#firstMovement = last.rows[0]?.last ?? '0';
  }

  /**
   * To be called when the load has stopped and both flows have drained. Without `catalog` (no flow
   * leads there) only the monolith is looked at.
   */
  async close(shop: pg.Client, catalog: pg.Client | undefined): Promise<LedgerVerdict> {
    const verdict: LedgerVerdict = {
      acknowledged: this.#products.size + this.#orders.length,
      checked: 0,
      lost: [],
      doubled: [],
    };
    const checked =
      (await this.#checkProducts(shop, catalog, verdict)) +
      (await this.#checkOrders(shop, verdict));
    await this.#checkStock(shop, catalog, verdict);
    return { ...verdict, checked };
  }

  async #checkProducts(
    shop: pg.Client,
    catalog: pg.Client | undefined,
    verdict: LedgerVerdict,
  ): Promise<number> {
    const ids = [...this.#products.keys()];
    const sides = {
      monolith: await shop.query<Row>(
        `SELECT prd_id::text AS id, prd_no AS number, prd_nm AS name, prc::text AS price FROM prd WHERE prd_id = ANY ($1) OR prd_no LIKE 'DEMO-%'`,
        [ids],
      ),
      service: await catalog?.query<Row>(
        `SELECT id::text, sku AS number, name, (price_cents / 100.0)::numeric(12, 2)::text AS price FROM product WHERE id = ANY ($1) OR sku LIKE 'DEMO-%'`,
        [ids],
      ),
    };
    for (const [side, result] of Object.entries(sides)) {
      if (!result) continue;
      const { rows } = result;
      const byId = new Map(rows.map((row) => [Number(row.id), row]));
      for (const wanted of this.#products.values()) {
        const found = byId.get(wanted.id);
        const equal =
          found?.name === wanted.name &&
          found.price === wanted.price &&
          (wanted.number ?? found.number) === found.number;
        if (!equal)
          verdict.lost.push(
            `${side}: product ${wanted.id} should be ${JSON.stringify(wanted)}, is ${JSON.stringify(found)}`,
          );
      }
      const made = rows.filter((row) => row.number.startsWith('DEMO-'));
      for (const row of made)
        if (!this.#products.has(Number(row.id)))
          verdict.doubled.push(`${side}: product ${row.id} (${row.number}) was never acknowledged`);
    }
    return this.#products.size;
  }

  async #checkOrders(shop: pg.Client, verdict: LedgerVerdict): Promise<number> {
    const { rows } = await shop.query<{
      ref: string;
      count: string;
      lines: string;
      quantity: string;
    }>(
      `SELECT o.ref, count(DISTINCT o.ord_id) AS count, count(l.*) AS lines, coalesce(sum(l.qty), 0) AS quantity
         FROM ord o LEFT JOIN ordl l USING (ord_id) WHERE o.ref LIKE 'demo-%' GROUP BY o.ref`,
    );
    const found = new Map(rows.map((row) => [row.ref, row]));
    for (const order of this.#orders) {
      const row = found.get(order.reference);
      if (!row || Number(row.lines) < order.lines || Number(row.quantity) < order.quantity)
        verdict.lost.push(`order ${order.reference}: ${JSON.stringify(row)}`);
      else if (Number(row.count) > 1 || Number(row.quantity) > order.quantity)
        verdict.doubled.push(`order ${order.reference}: ${JSON.stringify(row)}`);
    }
    return this.#orders.length;
  }

  async #checkStock(
    shop: pg.Client,
    catalog: pg.Client | undefined,
    verdict: LedgerVerdict,
  ): Promise<void> {
    const moved = await shop.query<{ id: string; moved: string; ordered: string }>(
      `SELECT prd_id AS id, sum(qty) AS moved, coalesce(sum(qty) FILTER (WHERE mv_typ = 'O'), 0) AS ordered
         FROM stkmv WHERE stkmv_id > $1 GROUP BY prd_id`,
      [this.#firstMovement],
    );
    const movements = new Map(moved.rows.map((row) => [row.id, Number(row.moved)]));
    const sides = {
      monolith: await shop.query<{ id: string; stock: number }>(
        'SELECT prd_id AS id, stk_qty AS stock FROM prd',
      ),
      service: await catalog?.query<{ id: string; stock: number }>('SELECT id, stock FROM product'),
    };
    for (const [side, result] of Object.entries(sides))
      for (const row of result?.rows ?? []) {
        const expected = (this.#stock.get(row.id) ?? 0) + (movements.get(row.id) ?? 0);
        if (row.stock < expected)
          verdict.doubled.push(
            `${side}: stock of product ${row.id} is ${row.stock}, movements make it ${expected}`,
          );
        else if (row.stock > expected)
          verdict.lost.push(
            `${side}: stock of product ${row.id} is ${row.stock}, movements make it ${expected}`,
          );
      }
    const taken = -moved.rows.reduce((sum, row) => sum + Number(row.ordered), 0);
    const acknowledged = this.#orders.reduce((sum, order) => sum + order.quantity, 0);
    if (taken > acknowledged)
      verdict.doubled.push(`orders took ${taken} pieces, ${acknowledged} were acknowledged`);
    if (taken < acknowledged)
      verdict.lost.push(`orders took ${taken} pieces, ${acknowledged} were acknowledged`);
  }
}

interface Row {
  id: string;
  number: string;
  name: string;
  price: string;
}
