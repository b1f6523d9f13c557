// Categories in the table prdcat, a forest: a category never becomes its own ancestor.
import type { Knex } from 'knex';
import { orProblem } from '../http/database-error.ts';
import { readPage, type Page } from '../http/page.ts';
import { invalid, notFound, Problem } from '../http/problem.ts';
import type { Category, CategoryChange, CategoryQuery, NewCategory } from './contract.ts';

interface CategoryRow {
  readonly cat_id: number;
  readonly cat_cd: string;
  readonly cat_nm: string;
  readonly par_cat_id: number | null;
  readonly sts: 'A' | 'I';
}

const COLUMNS = ['cat_id', 'cat_cd', 'cat_nm', 'par_cat_id', 'sts'] as const;
const STATUS_OF = { A: 'active', I: 'inactive' } as const;
const STATE_OF = { active: 'A', inactive: 'I' } as const;

const ANCESTORS = `
  WITH RECURSIVE up (cat_id, par_cat_id) AS (
    SELECT cat_id, par_cat_id FROM prdcat WHERE cat_id = ?
    UNION SELECT c.cat_id, c.par_cat_id FROM prdcat c JOIN up ON c.cat_id = up.par_cat_id
  )
  SELECT 1 FROM up WHERE cat_id = ?`;

export async function listCategories(db: Knex, query: CategoryQuery): Promise<Page<Category>> {
  const from = db('prdcat');
  if (query.status) from.where('sts', STATE_OF[query.status]);
  return readPage({ from, columns: COLUMNS, orderBy: 'cat_id', toItem: toCategory }, query);
}

/** Throws a 404 Problem. */
export async function getCategory(db: Knex, id: number): Promise<Category> {
  const row = await db('prdcat').where('cat_id', id).first<CategoryRow | undefined>(COLUMNS);
  if (!row) throw notFound('category', id);
  return toCategory(row);
}

/** Throws a 409 Problem for a code that is taken, 400 for an unknown parent. */
export async function insertCategory(db: Knex, category: NewCategory): Promise<Category> {
  const insert = db('prdcat').insert(toColumns(category)).returning(COLUMNS);
  const [row] = (await orProblem(insert, refusals(category))) as CategoryRow[];
  if (!row) throw new Error('INSERT INTO prdcat returned no row');
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
    const update = trx('prdcat').where('cat_id', id).update(toColumns(change)).returning(COLUMNS);
    const [row] = (await orProblem(update, refusals(change))) as CategoryRow[];
    if (!row) throw notFound('category', id);
    return toCategory(row);
  });
}

/** Locks every category, so that two moves at once cannot close a cycle together. */
async function refuseCycle(trx: Knex, id: number, parentId: number): Promise<void> {
  await trx('prdcat').select('cat_id').orderBy('cat_id').forUpdate();
  const { rows } = await trx.raw<{ rows: unknown[] }>(ANCESTORS, [parentId, id]);
  if (rows.length > 0) throw new Problem(409, 'a category cannot be inside itself');
}

/** Knex leaves out what is undefined. */
function toColumns(category: CategoryChange) {
  return {
    cat_cd: category.code,
    cat_nm: category.name,
    par_cat_id: category.parentId,
    sts: category.status && STATE_OF[category.status],
  };
}

function refusals(category: CategoryChange): Record<string, () => Error> {
  return {
    uq_prdcat_cd: () =>
      new Problem(409, `there is already a category with code ${category.code ?? ''}`),
    fk_prdcat_par: () => invalid([{ path: 'parentId', message: 'there is no such category' }]),
  };
}

function toCategory(row: CategoryRow): Category {
  return {
    id: row.cat_id,
    code: row.cat_cd,
    name: row.cat_nm,
    parentId: row.par_cat_id,
    status: STATUS_OF[row.sts],
  };
}
