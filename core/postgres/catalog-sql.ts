// What is asked of a live database's catalog (catalog.ts), in SQL.

/**
 * In SQL, of `pg_attribute a`: equality does not tell whether two values of the column are the same. Its type has
 * none of its own, or is made of parts that may have none (json, xml, point, a composite); or it takes values for
 * equal that read otherwise ('1 mon' and '30 days', a citext, a collation without regard to case). Domains and
 * arrays of them too.
 */
export const UNTOLD_BY_EQUALITY = `
       (SELECT one.typname IN ('interval', 'citext')
            OR coalesce((SELECT NOT l.collisdeterministic FROM pg_collation l WHERE l.oid = a.attcollation), false)
            OR one.typcategory NOT IN ('S', 'E', 'R', 'I') AND NOT EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                 WHERE o.opcintype = one.oid AND o.opcdefault AND m.amname IN ('btree', 'hash'))
          FROM pg_type t JOIN pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
          JOIN pg_type one ON one.oid = CASE base.typcategory WHEN 'A' THEN base.typelem ELSE base.oid END
         WHERE t.oid = a.atttypid)`;

/** In SQL, the names of columns of `relation` that are listed in `numbers`, in that order. */
function columnsOf(numbers: string, relation: string): string {
  return `(SELECT jsonb_agg(a.attname ORDER BY o.place) FROM unnest(${numbers}) WITH ORDINALITY AS o(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = ${relation} AND a.attnum = o.attnum)`;
}

/**
 * In SQL, what may be a sequence behind `pg_attribute a`: its own, and the one that its default asks. By number, not
 * by name: who only takes numbers from it need not be let into its schema.
 */
export const SEQUENCES_BEHIND = `(
       SELECT own.objid AS oid, 1 AS place FROM pg_depend own
        WHERE own.classid = 'pg_class'::regclass AND own.refclassid = 'pg_class'::regclass
          AND own.refobjid = a.attrelid AND own.refobjsubid = a.attnum AND own.deptype IN ('a', 'i')
       UNION ALL
       SELECT asked.refobjid, 2 FROM pg_attrdef d JOIN pg_depend asked ON asked.classid = 'pg_attrdef'::regclass
           AND asked.objid = d.oid AND asked.refclassid = 'pg_class'::regclass
        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)`;

/**
 * Columns of the table `$1`. Of a domain its base type: a cast to the domain would cut what is too long, and what
 * is assigned to the column is checked. A default has no columns in it: told of the table, pg_get_expr would wait
 * for its lock.
 */
export const COLUMNS = `
SELECT a.attname AS name, format_type(b.oid, -1) AS type, format_type(b.oid, b.typmod) AS full_type, a.attnotnull AS not_null,
       (a.atthasdef OR a.attidentity <> '') AS has_default, a.attgenerated <> '' AS generated, a.attidentity = 'a' AS fixed,
       ${UNTOLD_BY_EQUALITY} AS unequal,
       (SELECT pg_get_expr(d.adbin, 0) FROM pg_attrdef d WHERE d.adrelid = c.oid AND d.adnum = a.attnum AND a.attgenerated = '') AS initial,
       EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)) AS reference,
       q.name AS sequence, q.seqincrement::text AS increment,
       CASE WHEN has_sequence_privilege(q.seqrelid, 'SELECT, USAGE') THEN pg_sequence_last_value(q.seqrelid)::text END AS last,
       coalesce(has_sequence_privilege(q.seqrelid, 'SELECT') AND has_schema_privilege(q.schema, 'USAGE'), false) AS readable
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
       WITH RECURSIVE d AS (
         SELECT a.atttypid AS oid, a.atttypmod AS typmod
         UNION ALL
         SELECT t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE d.typmod END
           FROM d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')
       SELECT d.oid, d.typmod FROM d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype <> 'd') b
  LEFT JOIN LATERAL (
       SELECT format('%I.%I', sn.nspname, s.relname) AS name, sn.oid AS schema, q.seqrelid, q.seqincrement
         FROM ${SEQUENCES_BEHIND} AS behind
         JOIN pg_sequence q ON q.seqrelid = behind.oid
         JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
        ORDER BY behind.place LIMIT 1) AS q ON true
 WHERE c.oid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum`;

/** What is said of the table `$1` as a whole. */
export const TABLE = `
SELECT (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place), pg_attribute a
         WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND k.place <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum) AS primary_key,
       (SELECT jsonb_agg(u.columns) FROM (
          SELECT (SELECT jsonb_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS columns
            FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL) u) AS unique_keys,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND NOT i.indimmediate) AS deferrable_key,
       c.relkind = 'p' AS partitioned, c.relpersistence = 'u' AS unlogged, (SELECT l.relreplident FROM pg_class l
         WHERE l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
         ORDER BY position(l.relreplident IN 'ndif') LIMIT 1) AS identity,
       (SELECT array_agg(DISTINCT fn.nspname || '.' || f.relname) FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
          JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid) AS refs,
       (SELECT jsonb_agg(jsonb_build_object('table', fn.nspname || '.' || f.relname, 'deferrable', k.condeferrable,
                 'columns', ${columnsOf('k.conkey', 'k.conrelid')},
                 'references', ${columnsOf('k.confkey', 'k.confrelid')}) ORDER BY k.oid)
          FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
         WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0) AS foreign_keys,
       (SELECT array_agg(fn.nspname || '.' || f.relname || '.' || k.conname) FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid
          JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid) AS inbound,
       (SELECT array_agg(hn.nspname || '.' || h.relname ORDER BY h.oid) FROM pg_inherits i JOIN pg_class h ON h.oid = i.inhrelid
          JOIN pg_namespace hn ON hn.oid = h.relnamespace WHERE i.inhparent = c.oid AND NOT h.relispartition) AS heirs,
       (WITH RECURSIVE taken AS (
          SELECT k.oid, k.conrelid, k.confdeltype FROM pg_constraint k
           WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd')
          UNION
          SELECT k.oid, k.conrelid, k.confdeltype FROM taken t JOIN pg_constraint k ON k.confrelid IN (t.conrelid, pg_partition_root(t.conrelid)) AND t.confdeltype = 'c'
           WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd'))
        SELECT jsonb_agg(jsonb_build_object(
                 'child', jsonb_build_object('schema', kn.nspname, 'table', kc.relname), 'parent', jsonb_build_object('schema', pn.nspname, 'table', pc.relname),
                 'table', tn.nspname || '.' || r.relname, 'cascades', k.confdeltype = 'c',
                 'columns', ${columnsOf('k.conkey', 'k.conrelid')},
                 'references', ${columnsOf('k.confkey', 'k.confrelid')}) ORDER BY k.oid)
          FROM taken t JOIN pg_constraint k ON k.oid = t.oid
          JOIN pg_class kc ON kc.oid = k.conrelid JOIN pg_namespace kn ON kn.oid = kc.relnamespace
          JOIN pg_class pc ON pc.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
          JOIN pg_class r ON r.oid = coalesce(pg_partition_root(t.conrelid)::oid, t.conrelid)
          JOIN pg_namespace tn ON tn.oid = r.relnamespace) AS takes,
       (SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
         WHERE i.indrelid = c.oid AND i.indisreplident) AS identity_index,
       (SELECT jsonb_agg(jsonb_build_object('name', g.tgname, 'before', g.tgtype & 2 > 0,
                 'source', CASE WHEN l.lanname IN ('plpgsql', 'sql') THEN p.prosrc END) ORDER BY g.tgname)
          FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_language l ON l.oid = p.prolang
         WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgname NOT LIKE 'banyan%') AS triggers,
       greatest(c.reltuples, 0)::bigint AS estimated
  FROM pg_class c WHERE c.oid = $1::regclass`;
