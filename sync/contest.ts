// Rows that take unique values over from each other: whichever is written first finds its value with
// another one. So all that are to be written let go of theirs first, for values that stand in until
// each has its own. Which values are in question the refusals say.
import type pg from 'pg';
import { rawRows, sqlState } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Rows } from './domain/partial-rows.ts';
import { standIn } from './domain/stand-in.ts';
import { setAsideStatement } from './domain/way-statements.ts';
import type { Target } from './target.ts';

interface UniqueIndex {
  /** `schema.table`; of a partition, the whole table's. */
  readonly table: string;
  /** Those that may be null first: null is in nobody's way. */
  readonly columns: readonly { readonly name: string; readonly standIn: string | undefined }[];
}

const LOOK = `
SELECT pn.nspname, p.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull OR i.indnullsnotdistinct
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_class p ON p.oid = coalesce(pg_partition_root(i.indrelid)::oid, i.indrelid) JOIN pg_namespace pn ON pn.oid = p.relnamespace
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND NOT a.attisdropped
       AND (a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
         OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid
                     AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
 WHERE n.nspname = $1 AND x.relname = $2 ORDER BY 5, a.attnum`;

export class Contest {
  readonly #client: pg.Client;
  readonly #target: Target;
  readonly #indexes = new Map<string, UniqueIndex>();

  constructor(target: Target) {
    this.#target = target;
    this.#client = target.client;
  }

  /** Takes in what a refusal says; false where it says nothing new of unique values. */
  async note(error: unknown): Promise<boolean> {
    if (sqlState(error) !== '23505') return false;
    const { schema = '', constraint = '' } = error as pg.DatabaseError;
    const name = `${schema}.${constraint}`;
    if (this.#indexes.has(name)) return false;
    const found = await rawRows(this.#client, LOOK, [schema, constraint]);
    const [first] = found;
    if (!first) return false;
    this.#indexes.set(name, {
      table: formatTable({ schema: first[0] ?? '', table: first[1] ?? '' }),
      columns: found.map(([, , column, type, isNeeded]) => ({
        name: column ?? '',
        standIn: isNeeded === 't' ? standIn(type ?? '') : 'NULL',
      })),
    });
    return true;
  }

  /** How many things it is about. */
  get size(): number {
    return this.#indexes.size;
  }

  /** Those of the rows that are there, and are to have another value, let go of the one that they have. */
  async clear(rows: Rows): Promise<void> {
    for (const [target, operations] of rows)
      for (const { table, columns } of this.#indexes.values()) {
        if (formatTable(target.name) !== table) continue;
        for (const column of columns) {
          const at = target.columns.findIndex(({ name }) => name === column.name);
          const known = operations.filter(
            (row) => row.exists !== 'gone' && row.values[at] !== undefined,
          );
          if (column.standIn === undefined || known.length === 0) continue;
          const statement = setAsideStatement(target, at, column.standIn, known);
          await this.#target.into(target, () => this.#target.execute(statement));
          break;
        }
      }
  }
}
