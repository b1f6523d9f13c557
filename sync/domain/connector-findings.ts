// What stands in the way of taking changes from a Debezium connector's topics, or may surprise later:
// its slot and publication, what its modes lose of the mapped columns, how its topics keep records. Facts
// in, findings out.
import type { TopicFacts } from '../../core/kafka/client.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import { formOf } from './debezium/forms.ts';
import { lossOf, nullLossOf, unchangedLossOf } from './debezium/losses.ts';
import type { Modes, SourceTable } from './debezium/source.ts';
import type { Finding } from './finding.ts';
import { checkKept } from './kafka-findings.ts';

export interface ConnectorFacts {
  readonly slot: string;
  /** Undefined where there is none of that name. */
  readonly plugin: string | undefined;
  /** Whether somebody reads it now. */
  readonly active: boolean;
  readonly publication: string;
  /** Mapped tables that the publication lacks. */
  readonly unpublished: readonly string[];
  /** With the columns that are mapped. */
  readonly tables: readonly SourceTable[];
  readonly modes: Modes;
  readonly serverVersion: number;
  /** Its topics, and what is known of those that are there. */
  readonly topics: readonly { readonly topic: string; readonly facts: TopicFacts | undefined }[];
}

export function checkConnectorFacts(where: string, facts: ConnectorFacts): Finding[] {
  const findings: Finding[] = [];
  const report = (severity: Finding['severity'], what: string, hint: string): void => {
    findings.push({ severity, where, what, hint });
  };
  checkEnds(facts, report);
  for (const table of facts.tables)
    for (const column of table.columns) {
      const label = `${formatTable(table)}.${column.name}`;
      const form = formOf(column.type, facts.modes);
      const loss = lossOf(column, form) ?? unchangedLossOf(table, column, form);
      if (loss) report('error', `${label}: ${loss.reason}`, loss.hint);
      const nullLoss = nullLossOf(column);
      if (nullLoss) report('warning', `${label}: ${nullLoss.reason}`, nullLoss.hint);
    }
  report(
    'warning',
    'a connector leaves TRUNCATE out by default: rows that one empties stay at the service',
    'Do not truncate the mapped tables, or set skipped.operations=none and give their topics one partition each.',
  );
  for (const { topic, facts: found } of facts.topics) {
    if (found) findings.push(...checkKept(topic, found));
    else
      report(
        'warning',
        `there is no topic ${topic} yet`,
        'A connector makes it with the first change of its table, where it may; its name stands under source.debezium.topics where it is another.',
      );
  }
  return findings;
}

function checkEnds(
  { slot, plugin, active, publication, unpublished, serverVersion }: ConnectorFacts,
  report: (severity: Finding['severity'], what: string, hint: string) => void,
): void {
  if (plugin === undefined)
    report(
      'error',
      `there is no replication slot ${slot} in the monolith's database`,
      'Start the connector, and name its slot.name under source.debezium.slot.',
    );
  else if (plugin !== 'pgoutput')
    report(
      'error',
      `slot ${slot} decodes by ${plugin}, whose records may differ in types`,
      'Set plugin.name=pgoutput in the connector.',
    );
  else if (!active)
    report(
      'warning',
      `nobody reads slot ${slot} now: the flow waits until the connector does`,
      'Start the connector. It confirms its slot every offset.flush.interval.ms (a minute where Connect is not told otherwise), and a switch waits for that: a second or so suits it.',
    );
  if (unpublished.length > 0)
    report(
      'error',
      `publication ${publication} does not send ${unpublished.join(', ')}`,
      'Name the publication.name of the connector under source.debezium.publication, and the tables in its table.include.list.',
    );
  if (serverVersion < 140_000)
    report(
      'warning',
      'before PostgreSQL 14 our messages do not pass through a connector, so that an idle one confirms nothing and the flow lags',
      'Set heartbeat.interval.ms and heartbeat.action.query in the connector.',
    );
}
