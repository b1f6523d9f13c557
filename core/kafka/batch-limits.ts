// How large a batch each topic takes: its max.message.bytes is of a batch, not of a record, so that many
// small records are refused at once where a team's topic takes little. Looked up once a topic; where this
// login may not, what brokers take by default is believed.
import type { Admin, TopicFacts } from './client.ts';

/** Below what a broker takes by default (max.message.bytes, 1 MiB), counting what each record adds. */
export const REQUEST_BYTES = 900_000;
/** A batch's own head. */
const HEAD_BYTES = 100;

export class BatchLimits {
  readonly #open: () => Promise<Admin>;
  readonly #known = new Map<string, number>();

  constructor(open: () => Promise<Admin>) {
    this.#open = open;
  }

  /** Bytes; of a topic that was not looked up, those of any. */
  of(topic: string): number {
    return this.#known.get(topic) ?? REQUEST_BYTES;
  }

  /** Looks up those that are not known yet. Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
  async learn(topics: Iterable<string>): Promise<void> {
    const fresh = [...topics].filter((topic) => !this.#known.has(topic));
    if (fresh.length === 0) return;
    const admin = await this.#open();
    try {
      const found = await admin.topics(fresh);
      for (const topic of fresh) this.#note(topic, found.get(topic)?.config ?? {});
    } finally {
      await admin.close();
    }
  }

  /** What somebody else has looked up. */
  note(found: ReadonlyMap<string, Pick<TopicFacts, 'config'>>): void {
    for (const [topic, { config }] of found) this.#note(topic, config);
  }

  #note(topic: string, config: TopicFacts['config']): void {
    const own = ['max.message.bytes', 'segment.bytes']
      .map((name) => Number(config[name] ?? Number.NaN) - HEAD_BYTES)
      .filter((bytes) => bytes > 0);
    this.#known.set(topic, Math.min(REQUEST_BYTES, ...own));
  }
}
