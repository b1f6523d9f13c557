// How relays are shown by `banyan status` and `banyan sync status`.
import { RelayReports, type RelayLine } from '../control/relay-reports.ts';
import type { Context } from './context.ts';
import { bytes, span, table } from './output.ts';

/** Empty where no relay has reported. */
export function describeRelays(lines: readonly RelayLine[]): string[] {
  if (lines.length === 0) return [];
  const rows = lines.map((line) => [
    line.source,
    line.reportAgeMs > 10_000
      ? `${line.status}, silent for ${span(line.reportAgeMs)}`
      : line.status,
    line.standby ? 'yes' : 'no',
    line.behindMs === null ? '-' : span(line.behindMs),
    line.lagP50Ms === null ? '-' : `${span(line.lagP50Ms)} / ${span(line.lagP99Ms ?? 0)}`,
    String(line.written),
    String(line.letters),
    line.behindBytes === null ? '-' : bytes(line.behindBytes),
    line.retainedBytes === null ? '-' : bytes(line.retainedBytes),
    line.position ?? '-',
  ]);
  const letters = lines.flatMap(({ source, letters: count }) =>
    count === 0
      ? []
      : [
          `relay ${source}: ${count} rows of an outbox could not be events; they are in the topic of its dead letters, each with the reason (header banyan.error)`,
        ],
  );
  const leaving = lines.flatMap(describeLeaving);
  const errors = lines.flatMap((line) =>
    line.error === null ? [] : [`relay ${line.source}: [${line.errorCode ?? ''}] ${line.error}`],
  );
  return [
    table([
      [
        'relay',
        'status',
        'standby',
        'behind',
        'lag p50 / p99',
        'written',
        'dead letters',
        'WAL behind',
        'WAL kept',
        'position',
      ],
      ...rows,
    ]),
    ...letters,
    ...leaving,
    ...errors,
  ];
}

/** What has to be done about a relay that only waits for its outbox; nothing of any other. */
export function describeLeaving({ source, leaves, behindBytes }: RelayLine): string[] {
  if (leaves === null) return [];
  const behind = behindBytes === null ? '' : ` (${bytes(behindBytes)} of WAL are left to read)`;
  return [
    `relay ${source}: no flow needs it any more, but events of its outbox that were committed before ${leaves} may not be with Kafka yet${behind}: slot and publication stay until they are, and the source keeps its WAL. Keep \`banyan relay\` or \`banyan sync\` running, and nothing is lost. Is Kafka gone for good? \`banyan relay give-up ${source}\` gives those events up.`,
  ];
}

/** What moves of a capability have left: relays of its sources that wait for an outbox. */
export async function leavingRelays(
  { db, migration }: Pick<Context, 'db' | 'migration'>,
  capability: string,
): Promise<RelayLine[]> {
  const sources = ['monolith', migration.capabilities[capability]?.service];
  const lines = await new RelayReports(db).lines();
  return lines.filter(({ source, leaves }) => leaves !== null && sources.includes(source));
}
