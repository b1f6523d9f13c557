// How relays are shown by `banyan status` and `banyan sync status`.
import type { RelayLine } from '../control/relay-reports.ts';
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
    ...errors,
  ];
}
