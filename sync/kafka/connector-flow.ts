// A flow on the topics of a Debezium connector that the team runs: what it has of them and of the source
// when its log is opened, and what it says itself into its stream.
import { BanyanError } from '../../core/errors.ts';
import type { Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Lsn, Position } from '../../core/postgres/lsn.ts';
import type { DebeziumSettings } from '../../control/debezium-settings.ts';
import type { FlowMessage } from '../../control/domain/flow.ts';
import { connectorTopic } from '../../control/kafka-topics.ts';
import type { ChangeLog } from '../change-log.ts';
import { createDecoder, type Decoded } from '../domain/debezium/decoder.ts';
import { assertRecordKeys, ONE_PARTITION } from '../domain/record-key.ts';
import type { Shapes } from '../drift.ts';
import { checkSlot, timelineFor } from '../slot.ts';
import type { Checkpoint } from '../target.ts';
import { openConnectorLog, type ConnectorLog } from './connector-log.ts';
import { ANEW } from './consume-start.ts';
import { readSourceTables } from './source-tables.ts';

/** The topics of the connector. */
export interface Connected {
  readonly kafka: KafkaClient;
  readonly settings: DebeziumSettings;
  /** First part of the consumer group's name. */
  readonly group: string;
}

export interface ConnectorFlowOptions {
  readonly flow: string;
  readonly capability: string;
  /** Login that reads the source, and one that sees what the coordinator notes there. */
  readonly url: string;
  readonly watchUrl: string;
  /** The slot that the flow has where it reads its source directly. */
  readonly ownSlot: string;
  /** Under which sync back writes into the source. */
  readonly backOrigin: string;
}

const SESSION = { applicationName: 'banyan-capture' };

export class ConnectorFlow {
  readonly #connected: Connected;
  readonly #options: ConnectorFlowOptions;
  #log: ConnectorLog | undefined;

  constructor(connected: Connected, options: ConnectorFlowOptions) {
    this.#connected = connected;
    this.#options = options;
  }

  /** Throws FLOW_STOPPED, SLOT_LOST, KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_LOG_LOST. */
  async open(
    checkpoint: Checkpoint,
    shapes: Shapes,
    keyOf: (table: string) => readonly string[],
  ): Promise<ChangeLog> {
    const { kafka, settings, group } = this.#connected;
    const { url, ownSlot, flow } = this.#options;
    const { slot } = settings;
    const tables = await withClient(url, SESSION, async (client) => {
      const { rows } = await client.query(
        'SELECT 1 FROM pg_replication_slots WHERE slot_name = $1',
        [ownSlot],
      );
      if (rows.length > 0) throw hasOwnSlot(flow, ownSlot);
      await checkSlot(client, slot);
      return readSourceTables(client, [...shapes.keys()].map(parseTableName));
    });
    const timeline = await withClient(url, { ...SESSION, replication: true }, (client) =>
      timelineFor(client, slot, reached(checkpoint), ANEW),
    );
    const topics = [...new Set([...shapes.keys()].map((table) => connectorTopic(settings, table)))];
    this.#log = await openConnectorLog(
      {
        ...{ kafka, topics, timeline, groupId: `${group}.${flow}` },
        decode: this.#decoder(tables, shapes),
        admit: (topic, partitions) => {
          if (partitions === 1) return;
          const own = tables.filter((one) => connectorTopic(settings, formatTable(one)) === topic);
          assertRecordKeys(own, keyOf, ONE_PARTITION.connector);
        },
        watch: { ...this.#options, slot },
      },
      checkpoint,
    );
    return this.#log;
  }

  /** Before the log is open there is nobody to hear it. */
  async say(message: FlowMessage): Promise<void> {
    await this.#log?.say(message);
  }

  /** Throws KAFKA_UNREACHABLE when a topic has come that was not there. */
  async assertTopics(): Promise<void> {
    await this.#log?.assertTopics();
  }

  /** Reads the columns that the flow needs: what the connector loses of others is nobody's loss. */
  #decoder(
    tables: Awaited<ReturnType<typeof readSourceTables>>,
    shapes: Shapes,
  ): (record: Fetched) => Decoded {
    const byName = new Map(
      tables.map((table) => {
        const needed = shapes.get(formatTable(table))?.columns ?? {};
        const columns = table.columns.filter(({ name }) => name in needed);
        return [formatTable(table), { ...table, columns }];
      }),
    );
    const decoder = createDecoder({
      ...{ layout: 'table', keyChanges: 'pair', writer: 'connector' },
      tables: (name) => byName.get(formatTable(name)),
      modes: this.#connected.settings.modes,
    });
    return (record) => decoder.decode(record);
  }
}

/** The last place in the source's log of which something may have been applied. */
function reached({ position, offsets }: Checkpoint): Position {
  const lsns = [...(offsets?.values() ?? [])].map(({ lsn = 0n }): Lsn => lsn);
  const furthest = lsns.reduce((most, lsn) => (lsn > most ? lsn : most), position.commitLsn);
  return furthest > position.commitLsn ? { ...position, commitLsn: furthest, seq: 1 } : position;
}

/** The topics need not have what a flow that began with a slot of its own has still to read. */
function hasOwnSlot(flow: string, slot: string): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `flow ${flow} reads its source by slot ${slot}, and is to read a connector's topics now: what it has not read yet need not be in them`,
    {
      hint: 'Take `source` out of the definition again, or roll the capability back to monolith and start its sync anew.',
    },
  );
}
