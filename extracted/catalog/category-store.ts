// Categories, a forest: a category never becomes its own ancestor.
import type { Knex } from 'knex';
import { orProblem } from './http/database-error.ts';
import { readPage, type Page } from './http/page.ts';
import { invalid, notFound, Problem } from './http/problem.ts';
import type {
  Category,
  CategoryChange,
  CategoryQuery,
  CategoryStatus,
  NewCategory,
} from './contract.ts';

interface CategoryRow {
  readonly id: number;
  readonly code: string;
  readonly title: string;
  readonly parent_id: number | null;
  readonly state: CategoryStatus;
}

const COLUMNS = ['id', 'code', 'title', 'parent_id', 'state'] as const;

const ANCESTORS = `
  WITH RECURSIVE up (id, parent_id) AS (
    SELECT id, parent_id FROM category WHERE id = ?
    UNION SELECT c.id, c.parent_id FROM category c JOIN up ON c.id = up.parent_id
  )
  SELECT 1 FROM up WHERE id = ?`;

export async function listCategories(db: Knex, query: CategoryQuery): Promise<Page<Category>> {
  const from = db('category');
  if (query.status) from.where('state', query.status);
  return readPage({ from, columns: COLUMNS, orderBy: 'id', toItem: toCategory }, query);
}

/** Throws a 404 Problem. */
export async function getCategory(db: Knex, id: number): Promise<Category> {
  const row = await db('category').where('id', id).first<CategoryRow | undefined>(COLUMNS);
  if (!row) throw notFound('category', id);
  return toCategory(row);
}

/** Throws a 409 Problem for a code that is taken, 400 for an unknown parent. */
export async function insertCategory(db: Knex, category: NewCategory): Promise<Category> {
  const insert = db('category').insert(toColumns(category)).returning(COLUMNS);
  const [row] = (await orProblem(insert, refusals(category))) as CategoryRow[];
  if (!row) throw new Error('INSERT INTO category returned no row');
  return toCategory(row);
}

/** Throws Problems as insertCategory does, a 404, and a 409 for a cycle. */
export async function updateCategory(
  db: Knex,
  id: number,
  change: CategoryChange,
): Promise<Category> {
  return db.transaction(async (trx) => {
    if (typeof change.parentId === 'number') await refuseCycle(trx, id, change.parentId);
    const update = trx('category').where('id', id).update(toColumns(change)).returning(COLUMNS);
    const [row] = (await orProblem(update, refusals(change))) as CategoryRow[];
    if (!row) throw notFound('category', id);
    return toCategory(row);
  });
}

/** Locks every category, so that two moves at once cannot close a cycle together. */
async function refuseCycle(trx: Knex, id: number, parentId: number): Promise<void> {
  await trx('category').select('id').orderBy('id').forUpdate();
  const { rows } = await trx.raw<{ rows: unknown[] }>(ANCESTORS, [parentId, id]);
  if (rows.length > 0) throw new Problem(409, 'a category cannot be inside itself');
}

/** Knex leaves out what is undefined. */
function toColumns(category: CategoryChange) {
  return {
    code: category.code,
    title: category.name,
    parent_id: category.parentId,
    state: category.status,
  };
}

function refusals(category: CategoryChange): Record<string, () => Error> {
  return {
    category_code_key: () =>
      new Problem(409, `there is already a category with code ${category.code ?? ''}`),
    category_parent_fkey: () =>
      invalid([{ path: 'parentId', message: 'there is no such category' }]),
  };
}

function toCategory(row: CategoryRow): Category {
  return {
    id: row.id,
    code: row.code,
    name: row.title,
    parentId: row.parent_id,
    status: row.state,
  };
}
