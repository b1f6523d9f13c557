// One page of a list: its rows and the total, read by two statements at once on two connections of
// the pool. The query that is passed in carries the filters only; order and limits are added here.
import type { Knex } from 'knex';

export interface Paging {
  readonly page: number;
  readonly pageSize: number;
}

export interface Page<T> {
  readonly items: T[];
  readonly page: number;
  readonly pageSize: number;
  readonly total: number;
}

export interface PageQuery<Row, Item> {
  /** Filters and joins, without columns. */
  readonly from: Knex.QueryBuilder;
  readonly columns: readonly (string | Knex.Raw)[];
  /** A unique column, so that pages never overlap. */
  readonly orderBy: string;
  /** One row to its JSON. */
  readonly toItem: (row: Row) => Item;
}

/** Reads one page. */
export async function readPage<Row, Item>(
  query: PageQuery<Row, Item>,
  { page, pageSize }: Paging,
): Promise<Page<Item>> {
  const [rows, counts] = await Promise.all([
    query.from
      .clone()
      .select(query.columns)
      .orderBy(query.orderBy)
      .limit(pageSize)
      .offset((page - 1) * pageSize) as unknown as Promise<Row[]>,
    query.from.clone().count({ total: '*' }) as unknown as Promise<{ total: number }[]>,
  ]);
  return { items: rows.map(query.toItem), page, pageSize, total: counts[0]?.total ?? 0 };
}
