// What the demo tells at its end: as JSON for machines, in a page for people.
import type { FailedRequest } from './ledger.ts';

export interface SwitchPause {
  readonly move: string;
  /** From hold to release, as the coordinator saw it. */
  readonly pauseMs: number;
  /** The slowest write that a client saw meanwhile. */
  readonly slowestWriteMs: number;
}

export interface DemoReport {
  readonly ok: boolean;
  readonly error: string | null;
  readonly seconds: number;
  /** What the changes travelled over. */
  readonly changeLog: 'direct' | 'kafka';
  readonly walked: readonly string[];
  readonly requests: {
    readonly total: number;
    /** As the facade counted them: monolith, service, none (answered by itself). */
    readonly byPath: Readonly<Record<string, number>>;
    readonly failed: number;
    readonly failures: readonly FailedRequest[];
  };
  readonly writes: {
    readonly acknowledged: number;
    /** Looked up one by one in both databases. */
    readonly checked: number;
    readonly lost: number;
    readonly doubled: number;
    readonly examples: readonly string[];
  };
  readonly shadow: {
    readonly samples: number;
    readonly mismatches: number;
    readonly dropped: number;
  };
  /** Source commit to target commit. */
  readonly syncLag: Readonly<
    Record<string, { readonly p50Ms: number | null; readonly p99Ms: number | null }>
  >;
  readonly switches: readonly SwitchPause[];
  readonly verify: { readonly runs: number; readonly rows: number; readonly wrong: number };
  readonly ordersByPhase: Readonly<Record<string, number>>;
  readonly batch: {
    readonly accepted: number;
    readonly refused: number;
    readonly refusal: string | null;
  };
}

export function printReport(report: DemoReport): string {
  const lag = Object.entries(report.syncLag).map(
    ([flow, one]) => `${flow} p50 ${ms(one.p50Ms)}, p99 ${ms(one.p99Ms)}`,
  );
  const lines = [
    '',
    report.ok ? 'Nothing failed, nothing was lost.' : `FAILED: ${report.error ?? 'see below'}`,
    '',
    `  walked           ${report.walked.join(' → ')} in ${report.seconds.toFixed(0)} s`,
    `  requests         ${report.requests.total}, failed ${report.requests.failed} (${counts(report.requests.byPath)})`,
    `  writes           ${report.writes.acknowledged} acknowledged, ${report.writes.checked} looked up in both databases, ${report.writes.lost} lost, ${report.writes.doubled} doubled`,
    `  shadow           ${report.shadow.samples} answers compared, ${report.shadow.mismatches} mismatches, ${report.shadow.dropped} dropped`,
    `  change log       ${report.changeLog === 'kafka' ? 'Apache Kafka, one broker' : 'the replication slots'}`,
    `  sync lag         ${lag.join('; ') || '-'}`,
    ...report.switches.map(
      (one) =>
        `  write pause      ${one.move}: ${one.pauseMs} ms, slowest write ${Math.round(one.slowestWriteMs)} ms`,
    ),
    `  verified         ${report.verify.rows} rows in ${report.verify.runs} runs, ${report.verify.wrong} wrong`,
    `  orders           ${counts(report.ordersByPhase)}`,
    `  batch jobs       ${report.batch.accepted} accepted, ${report.batch.refused} refused${report.batch.refusal === null ? '' : `: ${report.batch.refusal}`}`,
    ...report.requests.failures
      .slice(0, 5)
      .map((one) => `  ! ${one.phase}: ${one.method} ${one.path} → ${one.status} ${one.body}`),
    ...report.writes.examples.slice(0, 5).map((one) => `  ! ${one}`),
  ];
  return lines.join('\n');
}

function counts(record: Readonly<Record<string, number>>): string {
  return Object.entries(record)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

function ms(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(0)} ms`;
}
