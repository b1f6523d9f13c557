// Schema drift at a source. Its catalog is looked at before the stream begins and every few seconds
// after: what the mapping needs and the publication does not send stops the flow before a change is
// missed, and a table that was altered or replaced behind the stream's back is copied again.
import type pg from 'pg';
import { formatTable, parseTableName, type TableName } from '../core/postgres/identifiers.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Stage } from './copy-records.ts';
import type { FlowPlan } from './domain/plan.ts';
import { MappingError, sourceColumns } from './domain/mapping.ts';
import { altered, gap, type Published, type Shape } from './domain/shape.ts';

const LOOK_MS = 3_000;

export type Shapes = ReadonlyMap<string, Shape>;

/** What a copy was made from, and the timeline of the target that it went into. */
type Copied = Shape & { readonly timeline?: string };

interface Row {
  oid: string | null;
  columns: Record<string, string> | null;
  published: Published | null;
  member: string | null;
}

const LOOK = `
SELECT c.oid::text,
       (SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attname = ANY ($3) AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT jsonb_build_object('columns', t.attnames, 'filter', t.rowfilter, 'without',
                 array_remove(ARRAY[CASE WHEN NOT p.pubinsert THEN 'insert' END, CASE WHEN NOT p.pubupdate THEN 'update' END,
                                    CASE WHEN NOT p.pubdelete THEN 'delete' END, CASE WHEN NOT p.pubtruncate THEN 'truncate' END], NULL))
          FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
         WHERE t.pubname = $4 AND t.schemaname = $1 AND t.tablename = $2) AS published,
       (SELECT r.oid::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
         WHERE p.pubname = $4 AND r.prrelid = c.oid) AS member
  FROM (SELECT to_regclass(format('%I.%I', $1::text, $2::text))::oid AS oid) c`;

/** The source tables of a plan as they are now. Throws MappingError when changes of one would not arrive. */
export async function readShapes(
  client: pg.Client,
  publication: string,
  plan: FlowPlan,
): Promise<Shapes> {
  const shapes = new Map<string, Shape>();
  for (const label of plan.sourceOrder) {
    const { schema, table } = parseTableName(label);
    const needed = columnsOf(plan, label);
    const { rows } = await client.query<Row>(LOOK, [schema, table, needed, publication]);
    const [row] = rows;
    if (!row || row.oid === null) throw new MappingError(`there is no table ${label}`);
    const shape = {
      oid: Number(row.oid),
      member: row.member === null ? null : Number(row.member),
      columns: row.columns ?? {},
    };
    const lost = needed.filter((name) => !(name in shape.columns));
    if (lost.length > 0)
      throw new MappingError(`there is no column ${lost.join(', ')} in ${label}`);
    const why = gap(shape, row.published ?? undefined);
    if (why !== undefined)
      throw new MappingError(`of publication ${publication}, table ${label} ${why}`);
    shapes.set(label, shape);
  }
  return shapes;
}

/**
 * A target that was promoted may lack its last commits, which the source was told are durable: nothing
 * will send them again.
 */
function promoted(before: Copied, timeline: string): string | undefined {
  return before.timeline === undefined || before.timeline === timeline
    ? undefined
    : 'went into a server that another has taken over from, and may lack what that one had';
}

/**
 * Compares the shapes with those that the copies were made from, notes them, and has the tables that
 * were altered or replaced since, or whose target was promoted, copied again, from the stage of a copy that this flow may begin at.
 * Gives those, each with the reason.
 */
export async function noteShapes(
  client: pg.Client,
  flow: string,
  shapes: Shapes,
  stage: Stage,
): Promise<{ readonly table: string; readonly why: string }[]> {
  const { rows } = await client.query<{
    source_table: string;
    shape: Copied | null;
    timeline: string;
  }>(
    `SELECT source_table, shape, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline
       FROM banyan.backfill WHERE flow = $1`,
    [flow],
  );
  const again = [];
  for (const { source_table: table, shape: before, timeline } of rows) {
    const now = shapes.get(table);
    if (!now) continue;
    const why = before ? (altered(before, now) ?? promoted(before, timeline)) : undefined;
    await client.query(
      `UPDATE banyan.backfill SET shape = $3${why === undefined ? '' : `, cursor = NULL, rows = 0, stage = CASE stage WHEN 'prune' THEN stage ELSE $4 END`}
        WHERE flow = $1 AND source_table = $2`,
      [flow, table, JSON.stringify({ ...now, timeline }), ...(why === undefined ? [] : [stage])],
    );
    if (why !== undefined) again.push({ table, why });
  }
  return again;
}

/** Looks again and again until the signal aborts. Throws MappingError at a change that the flow must not run past. */
export async function watchDrift(
  client: pg.Client,
  publication: string,
  plan: FlowPlan,
  began: Shapes,
  signal: AbortSignal,
  pause = sleep,
): Promise<void> {
  await pause(LOOK_MS, signal);
  while (!signal.aborted) {
    for (const [table, now] of await readShapes(client, publication, plan)) {
      const before = began.get(table);
      const why = before && altered(before, now);
      if (why !== undefined) throw new MappingError(`table ${table} ${why}: it is copied again`);
    }
    await pause(LOOK_MS, signal);
  }
}

/** The mapped tables by their numbers: a table that is called otherwise for a while is still the same. */
export function tablesByOid(shapes: Shapes): ReadonlyMap<number, TableName> {
  return new Map([...shapes].map(([label, { oid }]) => [oid, parseTableName(label)]));
}

function columnsOf({ edges }: FlowPlan, label: string): string[] {
  const own = edges.owner.filter((edge) => formatTable(edge.source) === label);
  return [...new Set(own.flatMap(sourceColumns))];
}
