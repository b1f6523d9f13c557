// Topics made before anything is written to them. One that is there already is left as it is, and is
// refused where records would lose their order in it.
import { BanyanError } from '../errors.ts';
import type { Admin, NewTopic } from './client.ts';

/** Creates those that are missing. Throws KAFKA_REFUSED where one has another number of partitions. */
export async function ensureTopics(admin: Admin, wanted: readonly NewTopic[]): Promise<void> {
  const names = wanted.map(({ topic }) => topic);
  const before = await admin.topics(names);
  await admin.create(wanted.filter(({ topic }) => !before.has(topic)));
  for (const { topic, partitions } of wanted) {
    const found = before.get(topic)?.partitions ?? partitions;
    if (found !== partitions)
      throw new BanyanError(
        'KAFKA_REFUSED',
        `topic ${topic} has ${found} partitions, and is to have ${partitions}`,
        {
          hint:
            partitions === 1
              ? 'More than one would lose the order of changes: delete the topic, or choose another changeLog.kafka.prefix.'
              : `A key's order does not survive a change of their number. Where no flow has read the topic, set changeLog.kafka.topics.partitions to ${found} or delete the topic; where one has, choose another changeLog.kafka.prefix, and start the sync of its capabilities anew.`,
        },
      );
  }
}
