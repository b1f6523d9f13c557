// Schema drift at a source. Its catalog is looked at before the stream begins, and again and again after
// (drift-watch.ts): what the mapping needs and the publication does not send stops the flow before a change
// is missed, and a table that was altered or replaced behind the stream's back is copied again.
import type pg from 'pg';
import { rawRows, transaction } from '../core/postgres/connect.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import { BanyanError } from '../core/errors.ts';
import type { Direction } from '../control/domain/flow.ts';
import type { TableVersion } from '../control/mapping-version.ts';
import { dropLetters, type Stage } from './copy-records.ts';
import { sourceKeyOf, type FlowPlan } from './domain/plan.ts';
import { MappingError, sourceColumns, type Mode } from './domain/mapping.ts';
import { remapped } from './domain/remapped.ts';
import {
  altered,
  gap,
  republished,
  repartitioned,
  type Partition,
  type Published,
  type Shape,
} from './domain/shape.ts';

export type Shapes = ReadonlyMap<string, Shape>;

/** What a copy was made from and by, and the timeline of the target that it went into. */
type Copied = Shape & {
  readonly timeline?: string;
  readonly mapping?: TableVersion;
  /** Transactions of the source from this one on have seen the table published as it is; not noted by older versions. */
  readonly since?: string;
};

/** A flow whose copies are compared with what they were made from. */
export interface Copy {
  readonly flow: string;
  readonly direction: Direction;
  readonly mode: Mode;
  /** By source table. */
  readonly mapping: ReadonlyMap<string, TableVersion>;
  readonly untruncated: FlowPlan['untruncated'];
  /** Session at the source. */
  readonly source: pg.Client;
  /** The target may lack changes that the source has forgotten. */
  readonly lacks?: true;
}

interface Row {
  oid: string | null;
  columns: Record<string, string> | null;
  numbers: Record<string, number> | null;
  file: string | null;
  publication: string | null;
  unidentified: string[] | null;
  published: Published | null;
  member: string | null;
  schema: string | null;
  heirs: string[] | null;
  partitions: Record<string, Partition> | null;
}

const LOOK = `
SELECT c.oid::text,
       (SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attname = ANY ($3) AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT jsonb_object_agg(a.attname, a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attname = ANY ($3) AND a.attnum > 0 AND NOT a.attisdropped) AS numbers,
       (SELECT relfilenode::text FROM pg_class WHERE oid = c.oid) AS file, (SELECT xmin::text FROM pg_publication WHERE pubname = $4) AS publication,
       (WITH RECURSIVE leaf AS (
          SELECT c.oid UNION ALL SELECT i.inhrelid FROM leaf JOIN pg_inherits i ON i.inhparent = leaf.oid AND NOT i.inhdetachpending)
        SELECT array_agg(DISTINCT p.oid::regclass::text) FROM leaf JOIN pg_class p ON p.oid = leaf.oid AND p.relkind = 'r' AND p.relreplident <> 'f'
         WHERE NOT $5::name[] <@ ARRAY(SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = p.oid AND a.attnum = ANY (i.indkey)
                 WHERE i.indrelid = p.oid AND CASE p.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident END)) AS unidentified,
       (SELECT jsonb_build_object('columns', t.attnames, 'filter', t.rowfilter, 'without',
                 array_remove(ARRAY[CASE WHEN NOT p.pubinsert THEN 'insert' END, CASE WHEN NOT p.pubupdate THEN 'update' END,
                                    CASE WHEN NOT p.pubdelete THEN 'delete' END, CASE WHEN NOT p.pubtruncate THEN 'truncate' END], NULL))
          FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
         WHERE t.pubname = $4 AND t.schemaname = $1 AND t.tablename = $2) AS published,
       (SELECT r.oid::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
         WHERE p.pubname = $4 AND r.prrelid = c.oid) AS member,
       (SELECT s.oid::text FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_class r ON r.relnamespace = s.pnnspid
         WHERE p.pubname = $4 AND r.oid = c.oid) AS schema,
       (SELECT array_agg(n.nspname || '.' || h.relname ORDER BY h.oid) FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
          JOIN pg_namespace n ON n.oid = h.relnamespace WHERE i.inhparent = c.oid AND NOT h.relispartition) AS heirs,
       CASE WHEN EXISTS (SELECT 1 FROM pg_partitioned_table WHERE partrelid = c.oid) THEN coalesce((
         -- As pg_partition_tree has them, which waits for the lock of each.
         WITH RECURSIVE tree AS (
           SELECT inhrelid, xmin, cmin::text::bigint AS command FROM pg_inherits WHERE inhparent = c.oid AND NOT inhdetachpending
           UNION ALL
           SELECT i.inhrelid, i.xmin, CASE WHEN i.xmin = t.xmin THEN greatest(i.cmin::text::bigint, t.command) ELSE i.cmin::text::bigint END
             FROM tree t JOIN pg_inherits i ON i.inhparent = t.inhrelid AND NOT i.inhdetachpending)
         SELECT jsonb_object_agg(p.oid::text, jsonb_build_object('file', p.relfilenode::bigint, 'since', t.xmin::text::bigint,
                  'command', t.command, 'born', (SELECT a.xmin::text::bigint FROM pg_attribute a WHERE a.attrelid = p.oid AND a.attname = 'ctid')))
           FROM tree t JOIN pg_class p ON p.oid = t.inhrelid), '{}') END AS partitions
  FROM (SELECT to_regclass(format('%I.%I', $1::text, $2::text))::oid AS oid) c`;

const NOT_SENT =
  'If it is new in the mapping, take it out again and start sync anew: a table is added by going back to `monolith` (`banyan rollback`) and beginning again with it. If somebody took it out of the publication, put it back';

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
    const { rows } = await client.query<Row>(LOOK, [
      ...[schema, table, needed, publication],
      sourceKeyOf(plan, label),
    ]);
    const [row] = rows;
    if (!row || row.oid === null) throw new MappingError(`there is no table ${label}`);
    const shape = {
      oid: Number(row.oid),
      member: row.member === null ? null : Number(row.member),
      ...(row.schema !== null && { schema: Number(row.schema) }),
      columns: row.columns ?? {},
      numbers: row.numbers ?? {},
      ...{ file: Number(row.file), publication: Number(row.publication) },
      ...(row.partitions && { partitions: row.partitions }),
    };
    const lost = needed.filter((name) => !(name in shape.columns));
    if (lost.length > 0)
      throw new MappingError(`there is no column ${lost.join(', ')} in ${label}`);
    if (row.heirs)
      throw new MappingError(
        `${row.heirs.join(', ')} inherits from ${label}: its rows show there and are no changes of it. Make it a partition, or take it off with NO INHERIT`,
      );
    if (row.unidentified)
      throw new MappingError(
        `the replica identity of ${row.unidentified.join(', ')} does not hold the key (${sourceKeyOf(plan, label).join(', ')}): of a row whose key changes, or that goes, its stream would not say which it was`,
        `ALTER TABLE ${row.unidentified[0] ?? label} REPLICA IDENTITY FULL; what changed meanwhile, \`banyan verify\` finds`,
      );
    const why = gap(shape, row.published ?? undefined);
    if (why !== undefined)
      throw new MappingError(
        `of publication ${publication}, table ${label} ${why}`,
        row.published ? undefined : NOT_SENT,
      );
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

const LACKS =
  'may lack changes: the slot goes on behind what its reader told it last. It was made anew, or moved, or the target was set back';

/**
 * Compares the shapes with those that the copies were made from, notes them, and has the tables that were
 * altered, replaced or mapped otherwise since, or whose target was promoted, copied again, from the stage of
 * a copy that this flow may begin at. Where a truncate is to empty nothing, a partition that is gone empties
 * nothing either. Gives those, each with the reason. Throws FLOW_STOPPED where other columns move than those
 * that the service was given when it became their owner.
 */
export function noteShapes(
  client: pg.Client,
  copy: Copy,
  shapes: Shapes,
): Promise<readonly Again[]> {
  return transaction(client, () => note(client, copy, shapes));
}

interface Again {
  readonly table: string;
  readonly why: string;
}

async function note(
  client: pg.Client,
  { flow, direction, mode, mapping, untruncated, source, lacks }: Copy,
  shapes: Shapes,
): Promise<readonly Again[]> {
  // Rows that the source lacks are strays only where it owns them all.
  const first: Stage = mode === 'owner' ? 'prune' : 'copy';
  const { rows } = await client.query<{
    source_table: string;
    shape: Copied | null;
    timeline: string;
  }>(
    `SELECT source_table, shape, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline
       FROM banyan.backfill WHERE flow = $1`,
    [flow],
  );
  const again: Again[] = [];
  let begun: string | undefined;
  for (const { source_table: table, shape: before, timeline } of rows) {
    const now = shapes.get(table);
    if (!now) continue;
    const version = mapping.get(table);
    const found = version && remapped(before?.mapping, version, direction, mode);
    if (found?.verdict === 'refused') throw otherColumns(table);
    const moved = before
      ? (repartitioned(before, now) ?? (await loadedBefore(source, table, before, now)))
      : undefined;
    const otherwise =
      found?.verdict === 'copy again' ? 'is mapped otherwise than when it was copied' : undefined;
    const reason = before
      ? (altered(before, now) ?? moved ?? promoted(before, timeline) ?? otherwise)
      : undefined;
    const why = reason ?? (lacks && LACKS);
    const stage = why === moved && untruncated.has(table) ? 'copy' : first;
    const since =
      before && !republished(before, now)
        ? before.since
        : (begun ??= await nextTransaction(source));
    await client.query(
      `UPDATE banyan.backfill SET shape = $3${why === undefined ? '' : `, cursor = NULL, rows = 0, stage = CASE stage WHEN 'prune' THEN stage ELSE $4 END`}
        WHERE flow = $1 AND source_table = $2`,
      [
        flow,
        table,
        JSON.stringify({ ...now, timeline, mapping: found?.version, since }),
        ...(why === undefined ? [] : [stage]),
      ],
    );
    if (why !== undefined) again.push({ table, why });
  }
  await dropLetters(
    client,
    flow,
    again.map(({ table }) => table),
  );
  return again;
}

/** Behind the look at the shapes: those that begin from here on meet the publication as it was seen there. */
async function nextTransaction(source: pg.Client): Promise<string> {
  const [row] = await rawRows(source, 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
  return row?.[0] ?? '0';
}

/** From which transaction of its source on all tables of a flow have been published as they are. */
export async function publishedSince(client: pg.Client, flow: string): Promise<string> {
  const [row] = await rawRows(
    client,
    `SELECT max((shape ->> 'since')::numeric) FROM banyan.backfill WHERE flow = $1`,
    [flow],
  );
  return row?.[0] ?? '0';
}

function otherColumns(table: string): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `the mapping of ${table} moves other columns than those that were copied before the service could write them`,
    {
      hint: 'Nothing was lost. Put the mapping back as it was and start sync again. Which columns move can be changed while the monolith alone writes: go back there first (`banyan rollback`).',
    },
  );
}

/**
 * Why a table must be read again although its stream has no hole: what a partition had before it became one,
 * in the transaction that made it, is in no stream. Undefined where no new one had anything.
 */
export async function loadedBefore(
  client: pg.Client,
  label: string,
  before: Shape,
  now: Shape,
): Promise<string | undefined> {
  const old = before.partitions;
  if (!old) return undefined;
  const fresh = Object.entries(now.partitions ?? {}).filter(([number]) => !(number in old));
  if (fresh.length === 0) return undefined;
  // Its first rows are in its first block.
  const { rows } = await client.query(
    `SELECT 1 FROM ${quoteTable(parseTableName(label))} AS t
       JOIN unnest($1::oid[], $2::bigint[], $3::bigint[]) AS p(oid, born, command)
         ON t.tableoid = p.oid AND t.xmin::text::bigint = p.born AND t.cmin::text::bigint < p.command
      WHERE t.ctid < '(1,0)' LIMIT 1`,
    [
      fresh.map(([number]) => number),
      fresh.map(([, { born }]) => born),
      fresh.map(([, { command }]) => command),
    ],
  );
  return rows.length > 0 ? 'has a partition that had rows before it was made one' : undefined;
}

/** The mapped tables by their numbers: a table that is called otherwise for a while is still the same. */
export function tablesByOid(shapes: Shapes): ReadonlyMap<number, TableName> {
  return new Map([...shapes].map(([label, { oid }]) => [oid, parseTableName(label)]));
}

function columnsOf({ edges }: FlowPlan, label: string): string[] {
  const own = edges.owner.filter((edge) => formatTable(edge.source) === label);
  return [...new Set(own.flatMap(sourceColumns))];
}
