// A kafkajs client made from our connection: its log lines in our log, its errors in our catalogue, and
// its known weaknesses mended. No error and no line bears a secret: of a line only named fields are kept.
import type { ConnectionOptions } from 'node:tls';
import kafkajs, { type Kafka, type LogEntry, type Mechanism, type SASLOptions } from 'kafkajs';
import { BanyanError, isBanyanError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { bearerMechanism } from './bearer.ts';
import { readText, type KafkaConnection, type Login, type TlsFiles } from './connection.ts';
import { mend } from './mended.ts';
import { bearerTokens } from './token.ts';

/** Ten seconds or so of trying again, then the caller hears of it. All is named: kafkajs has others of its own under test. */
export const RETRY = {
  retries: 6,
  initialRetryTime: 150,
  maxRetryTime: 3_000,
  factor: 0.2,
  multiplier: 2,
} as const;

/** One client a caller: kafkajs shares offsets and logins between those that one instance made. */
export function connectKafkajs(connection: KafkaConnection, log: Logger): Kafka {
  mend();
  return new kafkajs.Kafka({
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    ...(connection.tls && { ssl: tlsOptions(connection.tls) }),
    ...(connection.sasl && { sasl: login(connection.sasl) }),
    connectionTimeout: 5_000,
    authenticationTimeout: 10_000,
    requestTimeout: 15_000,
    retry: RETRY,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => (entry) => {
      forward(log, entry);
    },
  });
}

function tlsOptions(files: TlsFiles): ConnectionOptions {
  return {
    rejectUnauthorized: files.rejectUnauthorized,
    ...(files.ca !== undefined && { ca: readText(files.ca) }),
    ...(files.cert !== undefined && { cert: readText(files.cert) }),
    ...(files.key !== undefined && { key: readText(files.key) }),
    ...(files.passphrase && { passphrase: files.passphrase() }),
    ...(files.servername !== undefined && { servername: files.servername }),
  };
}

function login(given: Login): SASLOptions | Mechanism {
  if (given.mechanism !== 'oauthbearer') {
    const { mechanism, username } = given;
    // The library's types want one mechanism at a time.
    return { mechanism, username, password: given.password() } as SASLOptions;
  }
  return bearerMechanism(bearerTokens(given.token));
}

const FIELDS = ['broker', 'error', 'groupId', 'topic', 'partition', 'retryCount', 'retryTime'];

/** What fails for good is thrown, so the library's errors are no more than warnings here. */
function forward(log: Logger, { level, namespace, log: { message, ...extra } }: LogEntry): void {
  const fields: Record<string, unknown> = { library: `kafkajs ${namespace}`.trim() };
  for (const name of FIELDS) if (extra[name] !== undefined) fields[name] = extra[name] as unknown;
  log[level === kafkajs.logLevel.ERROR ? 'warn' : 'debug'](`kafka: ${message}`, fields);
}

interface Thrown {
  readonly name?: string;
  /** Kafka's name of the error. */
  readonly type?: string;
  readonly retriable?: boolean;
  readonly cause?: unknown;
}

const RIGHTS =
  'Give this login the right: DESCRIBE, READ and WRITE on the topics, READ on the groups (`kafka-acls`).';
const HINTS: Readonly<Record<string, string>> = {
  TOPIC_AUTHORIZATION_FAILED: RIGHTS,
  GROUP_AUTHORIZATION_FAILED: RIGHTS,
  CLUSTER_AUTHORIZATION_FAILED: `${RIGHTS} Topics are created with CREATE on the cluster.`,
  UNKNOWN_TOPIC_OR_PARTITION: 'Have the topics created: `banyan preflight` says which.',
  MESSAGE_TOO_LARGE:
    'Raise max.message.bytes of the topic (changeLog.kafka.topics.maxMessageBytes says it for topics created from now on), and let this login read its settings (DESCRIBE_CONFIGS): batches are cut to what it takes.',
  RECORD_LIST_TOO_LARGE: 'Raise segment.bytes of the topic.',
  INVALID_REPLICATION_FACTOR: 'Lower changeLog.kafka.topics.replication to the number of brokers.',
  INVALID_RECORD:
    'Is the topic compacted (cleanup.policy)? Such ones take no record without a key.',
  POLICY_VIOLATION: 'The brokers have a policy for topics: create them by hand as it asks.',
};

/** What kafkajs threw as an error of the catalogue. `doing` ends the sentence "Kafka … while". */
export function asBanyanError(error: unknown, doing: string): BanyanError {
  if (isBanyanError(error)) return error;
  const chain = causes(error);
  const inner = chain.find((one) => isBanyanError(one));
  if (isBanyanError(inner)) return inner;
  const of = (name: string): boolean => chain.some((one) => one.name === name);
  const type = chain.find((one) => one.type !== undefined)?.type;
  const message = messageOf(chain.at(-1) ?? error);
  if (type === 'SASL_AUTHENTICATION_FAILED' || of('KafkaJSSASLAuthenticationError'))
    return new BanyanError('KAFKA_UNREACHABLE', `Kafka refuses the login: ${message}`, {
      hint: 'Check changeLog.kafka.sasl: mechanism, username and where its secret stands.',
      cause: error,
    });
  const hint = type === undefined ? undefined : HINTS[type];
  if (hint !== undefined)
    return new BanyanError('KAFKA_REFUSED', `Kafka refuses while ${doing}: ${message}`, {
      hint,
      cause: error,
    });
  const passing =
    of('KafkaJSConnectionError') ||
    of('KafkaJSConnectionClosedError') ||
    of('KafkaJSNumberOfRetriesExceeded') ||
    chain.some((one) => one.retriable === true);
  return new BanyanError(
    passing ? 'KAFKA_UNREACHABLE' : 'KAFKA_REFUSED',
    passing
      ? `Kafka does not answer while ${doing}: ${message}`
      : `Kafka fails while ${doing}: ${message}`,
    {
      hint: passing
        ? 'See whether the brokers run and are reached from here by the names that they advertise (advertised.listeners), and that changeLog.kafka.tls says how they are to be spoken to.'
        : 'The brokers’ own log says more.',
      cause: error,
    },
  );
}

function causes(error: unknown): (Error & Thrown)[] {
  const chain: (Error & Thrown)[] = [];
  for (let one = error; one instanceof Error && !chain.includes(one); one = one.cause) {
    chain.push(one);
    // Several topics' errors in one: any tells.
    if ('errors' in one && Array.isArray(one.errors) && one.errors[0] instanceof Error)
      chain.push(one.errors[0]);
  }
  return chain;
}
