// What topics are and hold, asked and set by an administrator's connection.
import kafkajs, { type Admin as Library } from 'kafkajs';
import { waitFor } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { Admin, NewTopic, PartitionRange, TopicFacts } from './client.ts';
import type { KafkaConnection } from './connection.ts';
import { asBanyanError, connectKafkajs } from './kafkajs.ts';

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
export async function openAdmin(connection: KafkaConnection, log: Logger): Promise<Admin> {
  const library = connectKafkajs(connection, log).admin();
  const close = async (): Promise<void> => {
    await library.disconnect().catch(() => undefined);
  };
  try {
    await library.connect();
    const { brokers } = await library.describeCluster();
    return {
      brokers: brokers.length,
      topics: (names) => topicFacts(library, names),
      create: (topics) => createTopics(library, topics),
      ranges: (topic) => ranges(library, topic),
      groupOffsets: async (groupId, topics) => {
        const offsets = await asked("a group's offsets are read", () =>
          library.fetchOffsets({ groupId, topics: [...topics] }),
        );
        return offsets.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset }) => ({ topic, partition, offset: BigInt(offset) })),
        );
      },
      close,
    };
  } catch (error) {
    await close();
    throw asBanyanError(error, 'an administrator connects');
  }
}

async function asked<T>(doing: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw asBanyanError(error, doing);
  }
}

async function ranges(library: Library, topic: string): Promise<readonly PartitionRange[]> {
  const offsets = await asked(`the ends of ${topic} are read`, () =>
    library.fetchTopicOffsets(topic),
  );
  return offsets
    .map(({ partition, low, high }) => ({ partition, low: BigInt(low), high: BigInt(high) }))
    .sort((a, b) => a.partition - b.partition);
}

async function topicFacts(
  library: Library,
  names: readonly string[],
): Promise<ReadonlyMap<string, TopicFacts>> {
  // Asked for one that is not there, the brokers answer nothing about any.
  const all = new Set(await asked('topics are listed', () => library.listTopics()));
  const present = names.filter((name) => all.has(name));
  if (present.length === 0) return new Map();
  const { topics } = await asked('topics are looked at', () =>
    library.fetchTopicMetadata({ topics: present }),
  );
  const configs = await readConfigs(library, present);
  return new Map(
    topics.map(({ name, partitions }) => [
      name,
      {
        topic: name,
        partitions: partitions.length,
        replication: Math.min(...partitions.map(({ replicas }) => replicas.length)),
        config: configs.get(name) ?? {},
      },
    ]),
  );
}

/** Of the topics whose settings this login may read. */
async function readConfigs(
  library: Library,
  names: readonly string[],
): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>> {
  try {
    const { resources } = await library.describeConfigs({
      includeSynonyms: false,
      resources: names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
    });
    return new Map(
      resources.map(({ resourceName, configEntries }) => [
        resourceName,
        Object.fromEntries(
          configEntries.map(({ configName, configValue }) => [configName, configValue]),
        ),
      ]),
    );
  } catch (error) {
    const failure = asBanyanError(error, 'the settings of topics are read');
    if (failure.code === 'KAFKA_REFUSED') return new Map();
    throw failure;
  }
}

const LEADERS_MS = 10_000;

/** Creates those that are not there yet; when it resolves, they have leaders. */
export async function createTopics(library: Library, topics: readonly NewTopic[]): Promise<void> {
  const all = new Set(await asked('topics are listed', () => library.listTopics()));
  for (const { topic, partitions, replication, config } of topics)
    // One by one: of several, kafkajs takes any that exists for the failure of all.
    if (!all.has(topic))
      await asked(`topic ${topic} is created`, async () => {
        await library.createTopics({
          // It would take a broker that has not heard of the topic yet for one that refuses it.
          waitForLeaders: false,
          timeout: LEADERS_MS,
          topics: [
            {
              topic,
              numPartitions: partitions,
              replicationFactor: replication ?? -1,
              configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
            },
          ],
        });
        await waitFor(() => hasLeaders(library, topic), {
          timeoutMs: LEADERS_MS,
          everyMs: 50,
          what: `the leaders of topic ${topic}`,
        });
      });
}

async function hasLeaders(library: Library, topic: string): Promise<boolean> {
  try {
    await library.fetchTopicMetadata({ topics: [topic] });
    return true;
  } catch (error) {
    const { type } = error as { readonly type?: string };
    if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'LEADER_NOT_AVAILABLE') return false;
    throw error;
  }
}
