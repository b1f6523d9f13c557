// What a write canary needs in the databases, as SQL: at the service, triggers that say which rows its
// clients have changed (they are in flight until the owner has judged the change); at the owner, for
// the last writer to be known, triggers that keep the time of deletes; on both sides none may truncate.
//
// ENABLE ALWAYS and WHEN by session_user, as the fence (fence.ts): replica role does not slip by, and
// the applier's own writes are nobody's flight. One function a table, so that its plan is kept; it
// writes keys in the dialect that all our sessions speak. Taken away by a condition that never holds:
// that lock does not wait for readers.
import {
  formatTable,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
  parseTableName,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { TableMap } from '../definition.ts';
import { fingerprint } from './names.ts';
import { mappedTable } from './mapped-table.ts';
import type { Owner } from './phase.ts';

export interface SharedTable {
  readonly table: TableName;
  readonly key: readonly string[];
  readonly partitions: readonly TableName[];
}

export interface Share {
  readonly capability: string;
  readonly side: Owner;
  /** Login of the applier. */
  readonly applier: string;
  readonly tombstones: boolean;
}

/** The tables of one side with their key columns, in the order in which they are locked. */
export function sharedTables(
  tables: readonly TableMap[],
  side: Owner,
): Omit<SharedTable, 'partitions'>[] {
  const all = tables.map(mappedTable).flatMap((map) =>
    map[side].map((name, index) => ({
      table: parseTableName(name),
      key: [
        ...new Set(
          map.key.map((link) => link[side]).flatMap((at) => (at.table === index ? at.column : [])),
        ),
      ],
    })),
  );
  return all.sort((a, b) => (formatTable(a.table) < formatTable(b.table) ? -1 : 1));
}

/** Statements that put the triggers on a table. Run them in the transaction that opens the side. */
export function shareStatements(share: Share, shared: SharedTable): string[] {
  const { capability, side, applier } = share;
  const outsider = `session_user <> ${quoteLiteral(applier)}`;
  const keeps = side === 'service' ? [FLIGHT] : share.tombstones ? [TOMBSTONE] : [];
  return [
    ...keeps.flatMap((kept) => [
      functionText(kept, capability, shared),
      ...triggerText(kept, capability, shared.table, outsider),
    ]),
    ...[shared.table, ...shared.partitions].flatMap((table) =>
      truncateText(table, capability, 'true'),
    ),
  ];
}

/** Statements after which the triggers do nothing; those that were never there are made so. */
export function unshareStatements(share: Share, shared: SharedTable): string[] {
  const { capability, side, tombstones } = share;
  const keeps = side === 'service' ? [FLIGHT] : tombstones ? [TOMBSTONE] : [];
  return [
    ...keeps.flatMap((kept) => triggerText(kept, capability, shared.table, 'false')),
    ...[shared.table, ...shared.partitions].flatMap((table) =>
      truncateText(table, capability, 'false'),
    ),
  ];
}

/** Statements that remove every trace from a table and from our schema. */
export function removeShareStatements(capability: string, table: TableName): string[] {
  return [
    ...[FLIGHT, TOMBSTONE].flatMap((kept) => [
      `DROP TRIGGER IF EXISTS ${quoteIdentifier(kept.trigger)} ON ${quoteTable(table)}`,
      `DROP FUNCTION IF EXISTS ${functionName(kept, capability, table)}`,
    ]),
    `DROP TRIGGER IF EXISTS ${NO_TRUNCATE} ON ${quoteTable(table)}`,
  ];
}

interface Kept {
  readonly trigger: string;
  readonly events: string;
  /** Columns and values of our table for one row. */
  insert(capability: string, table: string, key: string): string;
  readonly images: readonly ('OLD' | 'NEW')[];
}

const FLIGHT: Kept = {
  trigger: 'banyan_flight',
  events: 'INSERT OR UPDATE OR DELETE',
  insert: (capability, table, key) =>
    `INSERT INTO banyan.flight (capability, source_table, key, xid)
       VALUES (${capability}, ${table}, ${key}, pg_current_xact_id()::xid::text::bigint) ON CONFLICT DO NOTHING`,
  images: ['OLD', 'NEW'],
};

const TOMBSTONE: Kept = {
  trigger: 'banyan_tombstone',
  events: 'DELETE',
  insert: (capability, table, key) =>
    `INSERT INTO banyan.tombstone (capability, owner_table, key, at)
       VALUES (${capability}, ${table}, ${key}, clock_timestamp())
       ON CONFLICT (capability, owner_table, key) DO UPDATE SET at = excluded.at`,
  images: ['OLD'],
};

const NO_TRUNCATE = 'banyan_share_truncate';

function functionName(kept: Kept, capability: string, table: TableName): string {
  return `${kept.trigger.replace('banyan_', 'banyan.')}_${fingerprint(`${capability}/${formatTable(table)}`)}()`;
}

function functionText(kept: Kept, capability: string, { table, key }: SharedTable): string {
  const per = (image: 'OLD' | 'NEW'): string => {
    const values = key.map((column) => `${image}.${quoteIdentifier(column)}::text`).join(', ');
    const insert = kept.insert(
      quoteLiteral(capability),
      quoteLiteral(formatTable(table)),
      `ARRAY[${values}]`,
    );
    return `IF TG_OP <> '${image === 'OLD' ? 'INSERT' : 'DELETE'}' THEN ${insert}; END IF;`;
  };
  return `CREATE OR REPLACE FUNCTION ${functionName(kept, capability, table)} RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog SET datestyle = 'ISO, YMD' SET timezone = 'UTC'
  SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 3
  AS $banyan$ BEGIN ${kept.images.map(per).join(' ')} RETURN NULL; END $banyan$`;
}

function triggerText(kept: Kept, capability: string, table: TableName, when: string): string[] {
  const name = quoteIdentifier(kept.trigger);
  return [
    `CREATE OR REPLACE TRIGGER ${name} AFTER ${kept.events} ON ${quoteTable(table)} FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION ${functionName(kept, capability, table)}`,
    `ALTER TABLE ${quoteTable(table)} ENABLE ALWAYS TRIGGER ${name}`,
  ];
}

function truncateText(table: TableName, capability: string, when: string): string[] {
  return [
    `CREATE OR REPLACE TRIGGER ${NO_TRUNCATE} BEFORE TRUNCATE ON ${quoteTable(table)} FOR EACH STATEMENT WHEN (${when}) EXECUTE FUNCTION banyan.refuse_truncate(${quoteLiteral(capability)})`,
    `ALTER TABLE ${quoteTable(table)} ENABLE ALWAYS TRIGGER ${NO_TRUNCATE}`,
  ];
}
