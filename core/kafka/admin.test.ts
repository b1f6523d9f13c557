// Topics that have just been made, by brokers that hear of them one after the other.
import { expect, test } from '@jest/globals';
import type { Admin as Library, ITopicConfig } from 'kafkajs';
import { createTopics } from './admin.ts';

class Refused extends Error {
  readonly type: string;

  constructor(type: string) {
    super(type);
    this.type = type;
  }
}

/** Brokers that answer in this way when they are asked who leads a topic; the last answer stands. */
function brokers(answers: readonly (string | undefined)[]) {
  const made: string[] = [];
  let asked = 0;
  const library = {
    listTopics: () => Promise.resolve(['there']),
    createTopics: ({ topics }: { topics: ITopicConfig[] }) => {
      made.push(...topics.map(({ topic }) => topic));
      return Promise.resolve(true);
    },
    fetchTopicMetadata: () => {
      const answer = answers[Math.min(asked++, answers.length - 1)];
      return answer === undefined
        ? Promise.resolve({ topics: [] })
        : Promise.reject(new Refused(answer));
    },
  } as unknown as Library;
  return { library, made, asked: () => asked };
}

const topic = (name: string) => ({ topic: name, partitions: 1, config: {} });

test('a topic is there once a broker says who leads it', async () => {
  const { library, made, asked } = brokers([
    'UNKNOWN_TOPIC_OR_PARTITION',
    'LEADER_NOT_AVAILABLE',
    undefined,
  ]);
  await createTopics(library, [topic('there'), topic('new')]);
  expect(made).toEqual(['new']);
  expect(asked()).toBe(3);
});

test('whatever else a broker answers is no reason to wait', async () => {
  const { library, asked } = brokers(['TOPIC_AUTHORIZATION_FAILED']);
  await expect(createTopics(library, [topic('new')])).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
  });
  expect(asked()).toBe(1);
});
