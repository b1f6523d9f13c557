// What a flow needs to read its source's topics: the group, the tables it looks at, and whether a server
// that was promoted has what was applied.
import type pg from 'pg';
import { BanyanError } from '../../core/errors.ts';
import type { Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { withClient } from '../../core/postgres/connect.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../../core/postgres/identifiers.ts';
import type { Position } from '../../core/postgres/lsn.ts';
import { relayLife, unnoted } from '../../control/relay.ts';
import { recordForm, type KafkaSettings } from '../../control/kafka-settings.ts';
import { tableTopic, topicPrefix } from '../../control/kafka-topics.ts';
import type { ChangeLog } from '../change-log.ts';
import { createDecoder } from '../domain/debezium/decoder.ts';
import { formOf } from '../domain/debezium/forms.ts';
import { lossOf } from '../domain/debezium/losses.ts';
import { HEADERS } from '../domain/debezium/position.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceTable } from '../domain/debezium/source.ts';
import { MappingError } from '../domain/mapping.ts';
import { assertRecordKeys, ONE_PARTITION } from '../domain/record-key.ts';
import type { Shapes } from '../drift.ts';
import { checkSlot, timelineFor } from '../slot.ts';
import type { Checkpoint } from '../target.ts';
import { openKafkaLog } from './consume.ts';
import { assertSameTopics } from './consume-start.ts';
import { openTablesLog } from './consume-tables.ts';
import { readSourceTables } from './source-tables.ts';

/** The topics of one source database. */
export interface Relayed {
  readonly kafka: KafkaClient;
  readonly settings: KafkaSettings;
  /** `monolith`, or the service's name. */
  readonly source: string;
  /** Tables that the whole definition names at it; changes of others are none that may be passed by. */
  readonly known: readonly string[];
  readonly queueBytes?: number;
  readonly pieceLimit?: number;
}

export interface RelayedFlow {
  readonly flow: string;
  readonly capability: string;
  /** Login that reads the source. */
  readonly url: string;
  /** The relay's. */
  readonly slot: string;
  readonly publication: string;
  /** The one that the flow has where it reads its source directly. */
  readonly ownSlot: string;
  readonly checkpoint: Checkpoint;
  /** The tables that it reads, and the columns. */
  readonly shapes: Shapes;
  /** The columns of a table by which the mapping finds its rows. */
  readonly keyOf: (table: string) => readonly string[];
}

const SESSION = { applicationName: 'banyan-capture' };

/** Throws FLOW_STOPPED, SLOT_LOST, KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_LOG_LOST. */
export async function openRelayed(relayed: Relayed, flow: RelayedFlow): Promise<ChangeLog> {
  const { kafka, settings, source, queueBytes, pieceLimit } = relayed;
  const { url, slot, publication, checkpoint, shapes, keyOf } = flow;
  const names = [...shapes.keys()].map(parseTableName);
  const continues = async (from: Position): Promise<void> => {
    await withClient(url, { ...SESSION, replication: true }, (client) =>
      timelineFor(client, slot, from),
    );
  };
  const { tables, numbers, life } = await withClient(url, SESSION, async (client) => {
    await assertRelayed(client, flow);
    await checkSlot(client, slot);
    const life = await relayLife(client, publication);
    if (!life) throw unnoted(slot, publication);
    return {
      tables: await readSourceTables(client, names),
      numbers: await numbersOf(client, names),
      life,
    };
  });
  // Where the relay does not go on, nothing in the topics would say it.
  await continues(checkpoint.position);
  const prefix = topicPrefix(settings, source);
  const { layout, topics } = settings;
  if (topics.partitions > 1) assertRecordKeys(tables, keyOf, ONE_PARTITION.relay);
  const { modes } = recordForm(settings);
  const byName = new Map(
    tables.map((table) => [
      formatTable(table),
      layout === 'table' ? carried(table, shapes, { ...DEBEZIUM_DEFAULTS, ...modes }) : table,
    ]),
  );
  const decoder = createDecoder({
    layout,
    modes,
    tables: (name) => byName.get(formatTable(name)),
    // Where a row that moved may have gone to another partition, it goes in one and comes in the other.
    keyChanges: topics.partitions > 1 ? 'pair' : 'update',
  });
  const known = new Set(relayed.known.map((table) => formatTable(parseTableName(table))));
  const options = {
    ...{ kafka, queueBytes, pieceLimit, life: life.name, capability: flow.capability },
    groupId: `${settings.prefix}.${flow.flow}`,
    decode: (record: Fetched) => {
      const decoded = decoder.decode(record);
      // One of ours may be among those that it names, under another name.
      if (decoded.kind === 'change' && decoded.change.kind === 'truncate')
        assertNotOurs(numbers, undefined, record.headers[HEADERS.table]);
      return decoded;
    },
    foreign: (table: TableName, headers: Fetched['headers']) => {
      assertKnown({ known, numbers }, table, headers[HEADERS.table]);
    },
    continues,
  };
  const whole = `${prefix}.changes`;
  const read =
    layout === 'changes' ? [whole] : names.map((table) => tableTopic(prefix, formatTable(table)));
  assertSameTopics(read, checkpoint.offsets ?? new Map());
  return layout === 'changes'
    ? openKafkaLog({ ...options, topic: whole }, checkpoint)
    : openTablesLog({ ...options, topics: read }, checkpoint);
}

/** Without columns of which something is lost and that nobody reads: one that is read stops the flow. */
function carried(table: SourceTable, shapes: Shapes, modes: Modes): SourceTable {
  const read = shapes.get(formatTable(table))?.columns ?? {};
  const columns = table.columns.filter(
    (column) => column.name in read || !lossOf(column, formOf(column.type, modes)),
  );
  return { ...table, columns };
}

/** The topics need not have what a flow that began with a slot of its own has still to read. */
async function assertRelayed(client: pg.ClientBase, { flow, ownSlot }: RelayedFlow): Promise<void> {
  const { rows } = await client.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [
    ownSlot,
  ]);
  if (rows.length === 0) return;
  throw new BanyanError(
    'FLOW_STOPPED',
    `flow ${flow} reads its source by slot ${ownSlot}, and changeLog is Kafka now: what it has not read yet need not be in the topics`,
    {
      hint: "Set changeLog back to 'direct', or roll the capability back to monolith and start its sync anew.",
    },
  );
}

/** As records have them. */
async function numbersOf(
  client: pg.ClientBase,
  tables: readonly TableName[],
): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ oid: string }>(
    'SELECT to_regclass(name)::oid::text AS oid FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL',
    [tables.map(quoteTable)],
  );
  return new Set(rows.map(({ oid }) => oid));
}

interface Tables {
  /** What the definition names. */
  readonly known: ReadonlySet<string>;
  /** Numbers of those that the flow reads. */
  readonly numbers: ReadonlySet<string>;
}

/** One of ours under another name: what is passed by of it would be lost. Others' are theirs to mind. */
function assertKnown(
  { known, numbers }: Tables,
  name: TableName,
  strange: string | undefined,
): void {
  const isKnown = known.has(formatTable(name));
  // A TRUNCATE has the name of its first table.
  assertNotOurs(numbers, isKnown ? undefined : name, strange);
  if (strange === undefined && !isKnown) throw renamed(name);
}

function assertNotOurs(
  ours: ReadonlySet<string>,
  name: TableName | undefined,
  strange: string | undefined,
): void {
  if (strange?.split(',').some((number) => ours.has(number))) throw renamed(name);
}

function renamed(name: TableName | undefined): MappingError {
  const label = name ? `table ${formatTable(name)}` : 'a table';
  return new MappingError(
    `changes of ${label} arrive, which the definition does not name: was a table renamed? If so, roll the capability back to monolith and start its sync anew`,
  );
}
