// What is wrong with topics as they are, or would be: which of their settings could lose a change that
// was acknowledged, or one that a slow flow has yet to read. Facts in, findings out.
import type { NewTopic, TopicFacts } from '../../core/kafka/client.ts';
import type { Finding } from './finding.ts';

const DAY_MS = 86_400_000;

export interface ClusterFacts {
  readonly brokers: number;
  /** The topics that exist, by name. */
  readonly topics: ReadonlyMap<string, TopicFacts>;
}

/** Holds the topics that a relay will write against the cluster. */
export function checkTopics(wanted: readonly NewTopic[], cluster: ClusterFacts): Finding[] {
  return wanted.flatMap((topic) => {
    const facts = cluster.topics.get(topic.topic);
    const report = reporter(topic.topic);
    if (facts) checkExisting(topic, facts, report);
    else checkNew(topic, cluster, report);
    return report.findings;
  });
}

/** How a topic that others write keeps what a flow has yet to read. */
export function checkKept(topic: string, { config, replication }: TopicFacts): Finding[] {
  const report = reporter(topic);
  checkRetention(config, 'retention.ms of the topic', report);
  checkCompaction(config, report);
  checkCopies(replication, config, report);
  return [...report.findings];
}

/** Where a flow goes on in a partition, and what that holds. */
export interface Reading {
  readonly flow: string;
  readonly topic: string;
  readonly partition: number;
  readonly next: bigint;
  readonly low: bigint;
  readonly high: bigint;
}

/** Of ten records that are left, so many at most that a flow has read: it is nearly overtaken by retention. */
const TENTH = 10n;

/** Flows that retention overtakes, or soon will. */
export function checkReadings(readings: readonly Reading[]): Finding[] {
  return readings.flatMap(({ flow, topic, partition, next, low, high }): Finding[] => {
    // Nothing has been deleted yet, or nothing is left to read.
    if (low === 0n || next >= high) return [];
    const where = `topic ${topic}`;
    const hint =
      'Is `banyan sync` running, and does it catch up? Raise retention.ms of the topic until it has.';
    const at = `flow ${flow} is at offset ${next} of its partition ${partition}`;
    if (next < low)
      return [
        {
          severity: 'warning',
          where,
          hint,
          what: `${at}, and it begins at ${low} by now: what lay between is gone, and where any of it was the flow's own, its tables must be copied again`,
        },
      ];
    if ((next - low) * TENTH >= high - low) return [];
    return [
      {
        severity: 'warning',
        where,
        hint,
        what: `${at}, which begins at ${low} and ends at ${high}: what the flow has yet to read is what retention deletes next`,
      },
    ];
  });
}

type Report = ((severity: Finding['severity'], what: string, hint: string) => void) & {
  readonly findings: Finding[];
};

function reporter(topic: string): Report {
  const findings: Finding[] = [];
  const report = (severity: Finding['severity'], what: string, hint: string): void => {
    findings.push({ severity, where: `topic ${topic}`, what, hint });
  };
  return Object.assign(report, { findings });
}

/** What is not there yet is made as the definition says. */
function checkNew(wanted: NewTopic, { brokers }: ClusterFacts, report: Report): void {
  if (wanted.replication !== undefined && wanted.replication > brokers)
    report(
      'error',
      `it is to have ${wanted.replication} copies, and there ${brokers === 1 ? 'is one broker' : `are ${brokers} brokers`}`,
      'Lower changeLog.kafka.topics.replication, or add brokers.',
    );
  checkRetention(wanted.config, 'changeLog.kafka.topics.retentionMs', report);
  if (wanted.replication !== undefined) checkCopies(wanted.replication, wanted.config, report);
  else if (brokers > 1)
    report(
      'warning',
      'the brokers decide how many copies it has, and how many must have a change before it is acknowledged: often one, whose broken disk takes changes along',
      'Set changeLog.kafka.topics.replication; 3 in production.',
    );
}

function checkExisting(wanted: NewTopic, facts: TopicFacts, report: Report): void {
  if (facts.partitions !== wanted.partitions)
    report(
      'error',
      `it has ${facts.partitions} partitions, and is to have ${wanted.partitions}`,
      wanted.partitions === 1
        ? 'Order and whole transactions need one: delete the topic, or choose another changeLog.kafka.prefix.'
        : `Set changeLog.kafka.topics.partitions to ${facts.partitions}, or choose another changeLog.kafka.prefix where flows have read the topic already: a key's order does not survive a change of their number.`,
    );
  const { config } = facts;
  if (Object.keys(config).length === 0) {
    report(
      'warning',
      'its settings cannot be read, so nobody here knows how long it keeps changes',
      'Give this login DESCRIBE_CONFIGS on the topic.',
    );
    return;
  }
  checkCompaction(config, report, wanted.partitions === 1 ? 'order' : 'keyless');
  checkRetention(config, 'retention.ms of the topic', report);
  checkCopies(facts.replication, config, report);
  const limit = Number(config['max.message.bytes']);
  if (limit < Number(wanted.config['max.message.bytes']))
    report(
      'warning',
      `it takes no record above ${limit} bytes: a relay stops at a row that is larger`,
      'Raise max.message.bytes of the topic, or lower changeLog.kafka.topics.maxMessageBytes.',
    );
}

/**
 * Of a key only the last record stays. A deletion's is followed by a tombstone, which takes it away at once and
 * tells a flow nothing; and what a later change leaves out, because it is large and the same, goes with an earlier one.
 * Where the order of all is read, nothing may be missing at all.
 */
function checkCompaction(
  config: NewTopic['config'],
  report: Report,
  needs?: 'order' | 'keyless',
): void {
  if (!config['cleanup.policy']?.includes('compact')) return;
  if (needs === 'keyless') {
    report(
      'error',
      'it is compacted, and takes no record without a key: a relay writes such ones beside the changes, and would stop at the first',
      'Set cleanup.policy=delete.',
    );
    return;
  }
  if (!needs && Number(config['min.compaction.lag.ms'] ?? 0) >= DAY_MS) return;
  report(
    'error',
    'it is compacted: of several changes of a row only the last one stays, and a flow that has not read the others misses deletions and large values',
    needs
      ? 'Set cleanup.policy=delete: a flow needs every change, in order.'
      : 'Set cleanup.policy=delete, or min.compaction.lag.ms above the longest time that a flow may be away (a day or more).',
  );
}

function checkRetention(config: NewTopic['config'], setting: string, report: Report): void {
  const keptMs = Number(config['retention.ms'] ?? -1);
  if (keptMs >= 0 && keptMs < DAY_MS)
    report(
      'warning',
      `it keeps changes for ${minutes(keptMs)}: a flow that is away longer, or behind by more, loses them and must copy its tables again`,
      `Raise ${setting} above the longest time that a flow may be away; a day at least.`,
    );
  const keptBytes = Number(config['retention.bytes'] ?? -1);
  if (keptBytes >= 0)
    report(
      'warning',
      `it keeps no more than ${keptBytes} bytes of a partition: under load nobody knows for how long`,
      'Set retention.bytes=-1, and let retention.ms alone say how long.',
    );
}

/** Where one broker's end would take changes along that were acknowledged. */
function checkCopies(copies: number, config: NewTopic['config'], report: Report): void {
  const inSync = Number(config['min.insync.replicas'] ?? 1);
  if (config['unclean.leader.election.enable'] === 'true')
    report(
      'error',
      'a broker that lags behind may become its leader: changes that were acknowledged are lost then',
      'Set unclean.leader.election.enable=false.',
    );
  if (copies === 1)
    report(
      'warning',
      'there is one copy of it: a broken disk takes along changes that were acknowledged',
      'For production have three brokers, replication 3 and min.insync.replicas=2.',
    );
  else if (inSync > copies)
    report(
      'error',
      `min.insync.replicas=${inSync} and ${copies} copies: no record will ever be acknowledged`,
      'Set min.insync.replicas to one less than the copies.',
    );
  else if (inSync < 2)
    report(
      'warning',
      `min.insync.replicas=${inSync}: while the other copies lag, one is enough to acknowledge a change, and that broker's end loses it`,
      'Set min.insync.replicas=2.',
    );
}

function minutes(ms: number): string {
  return ms < 7_200_000
    ? `${Math.round(ms / 60_000)} minutes`
    : `${Math.round(ms / 3_600_000)} hours`;
}
