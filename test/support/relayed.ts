// A pair whose changes travel over a real Kafka, and the relays that bring them there.
import { randomBytes } from 'node:crypto';
import { createLogger, type LogLevel } from '../../core/log.ts';
import { supervise } from '../../core/lifecycle.ts';
import type { Migration } from '../../control/definition.ts';
import { relayPart } from '../../sync/kafka/process.ts';
import type { SharedKafka } from './kafka.ts';
import { createPair, type Pair, type PairOptions } from './pair.ts';
import { seedShop } from './load.ts';
import { advanceTo, type RunningSync } from './sync.ts';

export type KafkaSettings = Exclude<Migration['changeLog'], 'direct'>['kafka'];

export interface RelayedOptions extends Omit<PairOptions, 'changeLog'> {
  readonly layout?: 'changes' | 'table';
  readonly partitions?: number;
}

/** Its topics have a prefix of their own; writers wait until what travels over a broker has arrived. */
export async function relayedPair(kafka: SharedKafka, options: RelayedOptions = {}): Promise<Pair> {
  const { layout = 'changes', partitions = 1, ...rest } = options;
  return createPair({
    facade: { hold: { timeoutMs: 30_000 } },
    ...rest,
    changeLog: {
      kafka: {
        brokers: [...kafka.connection.brokers],
        prefix: `t${randomBytes(4).toString('hex')}`,
        ...{ layout, topics: { partitions } },
      },
    },
  });
}

export function settingsOf({ migration }: Pair): KafkaSettings {
  if (migration.changeLog === 'direct') throw new Error('no Kafka');
  return migration.changeLog.kafka;
}

const LEVEL = (process.env['TEST_LOG'] as LogLevel | undefined) ?? 'silent';

/** Starts the relays of a pair in this process. */
export function startRelay(pair: Pair): RunningSync {
  const stop = new AbortController();
  const { migration, connections, controlUrl } = pair;
  const log = createLogger({ part: 'relay' }, LEVEL);
  const running = supervise([relayPart({ migration, connections, controlUrl, log })], stop.signal);
  return {
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

/** The same for the small shop with its rows, whose sync has begun; nobody reads the topics yet. */
export async function relayShop(pair: Pair): Promise<RunningSync> {
  const relay = startRelay(pair);
  await seedShop(pair);
  await advanceTo(pair, 'sync');
  return relay;
}
