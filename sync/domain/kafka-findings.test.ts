import { expect, test } from '@jest/globals';
import type { NewTopic, TopicFacts } from '../../core/kafka/client.ts';
import { checkKept, checkTopics } from './kafka-findings.ts';

const CONFIG = {
  ...{ 'cleanup.policy': 'delete', 'retention.ms': '604800000', 'retention.bytes': '-1' },
  ...{ 'max.message.bytes': '16777216', 'unclean.leader.election.enable': 'false' },
};
const WANTED: NewTopic = {
  ...{ topic: 'shop.monolith.changes', partitions: 1, replication: 3 },
  config: { ...CONFIG, 'min.insync.replicas': '2' },
};

function findings(
  found: Partial<Omit<TopicFacts, 'config'>> & { config?: Record<string, string> } = {},
  wanted = WANTED,
): string[] {
  const { topic, partitions, config } = wanted;
  const facts: TopicFacts = {
    ...{ topic, partitions, replication: 3 },
    ...found,
    config:
      found.config && Object.keys(found.config).length === 0 ? {} : { ...config, ...found.config },
  };
  return checkTopics([wanted], { brokers: 3, topics: new Map([[topic, facts]]) }).map(
    ({ severity, what }) => `${severity}: ${what}`,
  );
}

test('topics as the definition wants them have nothing to mend, before and after they are made', () => {
  expect(findings()).toEqual([]);
  expect(checkTopics([WANTED], { brokers: 3, topics: new Map() })).toEqual([]);
});

test.each<[string, Parameters<typeof findings>[0], RegExp]>([
  [
    'several partitions of the ordered topic',
    { partitions: 3 },
    /^error: it has 3 partitions, and is to have 1/,
  ],
  [
    'a retention that a slow flow does not survive',
    { config: { 'retention.ms': '3600000' } },
    /^warning: it keeps changes for 60 minutes/,
  ],
  [
    'a retention by size',
    { config: { 'retention.bytes': '1073741824' } },
    /^warning: it keeps no more than 1073741824 bytes/,
  ],
  [
    'compaction of the ordered topic',
    { config: { 'cleanup.policy': 'compact,delete' } },
    /^error: it is compacted/,
  ],
  [
    'acknowledgement by one copy',
    { config: { 'min.insync.replicas': '1' } },
    /^warning: min\.insync\.replicas=1/,
  ],
  ['a single copy', { replication: 1 }, /^warning: there is one copy/],
  [
    'more copies asked for than there are',
    { replication: 2, config: { 'min.insync.replicas': '3' } },
    /^error: min\.insync\.replicas=3 and 2 copies/,
  ],
  [
    'leaders that lag behind',
    { config: { 'unclean.leader.election.enable': 'true' } },
    /^error: a broker that lags behind/,
  ],
  [
    'room for small rows only',
    { config: { 'max.message.bytes': '1048588' } },
    /^warning: it takes no record above 1048588 bytes/,
  ],
  ['settings that cannot be read', { config: {} }, /^warning: its settings cannot be read/],
])('finds %s', (_, found, expected) => {
  const all = findings(found);
  expect(all).toHaveLength(1);
  expect(all[0]).toMatch(expected);
});

const SPARED = { 'cleanup.policy': 'compact', 'min.compaction.lag.ms': '604800000' };

test('a compacted topic stops a relay, and lets it lose changes, however long what is new is spared', () => {
  const table = { ...WANTED, topic: 'shop.monolith.public.prd', partitions: 4 };
  const compacted = { 'cleanup.policy': 'compact' };
  for (const config of [compacted, SPARED]) {
    const all = findings({ config }, table);
    expect(all).toHaveLength(1);
    expect(all[0]).toMatch(/^error: it is compacted, and takes no record without a key/);
    expect(findings({ config })[0]).toMatch(/^error: it is compacted: of several changes/);
  }
});

test("a connector's compacted topic loses deletions too, unless what is new is spared for long", () => {
  const kept = (config: Record<string, string>): string[] =>
    checkKept('shop.public.prd', {
      ...{ topic: 'shop.public.prd', partitions: 4, replication: 3 },
      config: { ...WANTED.config, ...config },
    }).map(({ severity, what }) => `${severity}: ${what}`);
  expect(kept({ 'cleanup.policy': 'compact' })).toEqual([
    expect.stringMatching(/^error: it is compacted: of several changes/),
  ]);
  expect(kept({ ...SPARED, 'min.compaction.lag.ms': '3600000' })).toHaveLength(1);
  expect(kept(SPARED)).toEqual([]);
});

test('copies that the brokers decide on are minded where there could be several', () => {
  const wanted = { ...WANTED, replication: undefined, config: CONFIG };
  const found = (brokers: number): object[] =>
    checkTopics([wanted], { brokers, topics: new Map() });
  expect(found(3)).toMatchObject([
    {
      severity: 'warning',
      what: expect.stringMatching(/^the brokers decide how many copies it has/) as unknown,
      hint: 'Set changeLog.kafka.topics.replication; 3 in production.',
    },
  ]);
  expect(found(1)).toEqual([]);
  // Of one that is there it is known how many it has.
  expect(findings({ config: { 'min.insync.replicas': '2' } }, wanted)).toEqual([]);
});

test('a topic that cannot be made is found before anybody tries', () => {
  const all = checkTopics([WANTED], { brokers: 1, topics: new Map() });
  expect(all).toMatchObject([
    { severity: 'error', what: 'it is to have 3 copies, and there is one broker' },
  ]);
});
