// Turns `changeLog.kafka` of a definition into how Kafka is reached: references and secrets resolved,
// every one that is missing reported. What stands in files is read here once, to find out that it can be.
import { messageOf } from '../core/errors.ts';
import {
  readText,
  type KafkaConnection,
  type Login,
  type Secret,
} from '../core/kafka/connection.ts';
import type { KafkaSettings } from './kafka-settings.ts';
import type { SecretReference } from './schema-words.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Adds to `mistakes` one line for whatever cannot be resolved. */
export function resolveKafka(
  settings: KafkaSettings,
  environment: Environment,
  mistakes: string[],
): KafkaConnection {
  const at = 'changeLog.kafka';
  const value = (
    reference: { env: string; default?: string | undefined },
    path: string,
  ): string => {
    const found = environment[reference.env] ?? reference.default ?? '';
    if (found === '') mistakes.push(`${path}: environment variable ${reference.env} is not set`);
    return found;
  };
  const file = (name: string | undefined, path: string): string | undefined => {
    try {
      if (name !== undefined) readText(name);
    } catch (error) {
      mistakes.push(`${path}: ${messageOf(error)}`);
    }
    return name;
  };
  const secret = (reference: SecretReference, path: string): Secret => {
    if ('env' in reference) {
      const found = value(reference, path);
      return () => found;
    }
    file(reference.file, path);
    return () => readText(reference.file);
  };
  const { tls, sasl } = settings;
  return {
    brokers: brokers(settings, environment, mistakes),
    clientId: settings.clientId,
    compression: settings.compression,
    tls:
      tls === false
        ? undefined
        : tls === true
          ? { rejectUnauthorized: true }
          : {
              ca: file(tls.ca, `${at}.tls.ca`),
              cert: file(tls.cert, `${at}.tls.cert`),
              key: file(tls.key, `${at}.tls.key`),
              passphrase: tls.passphrase && secret(tls.passphrase, `${at}.tls.passphrase`),
              servername: tls.servername,
              rejectUnauthorized: tls.rejectUnauthorized,
            },
    sasl: sasl && login(sasl, { value, secret }),
  };
}

const ADDRESS = /^[^\s:/,]+:\d{1,5}$/;

function brokers(
  settings: KafkaSettings,
  environment: Environment,
  mistakes: string[],
): readonly string[] {
  const given = settings.brokers;
  if (Array.isArray(given)) return given;
  const found = (environment[given.env] ?? given.default ?? '').split(',').map((one) => one.trim());
  if (!found.every((one) => ADDRESS.test(one)))
    mistakes.push(
      found.join('') === ''
        ? `changeLog.kafka.brokers: environment variable ${given.env} is not set`
        : `changeLog.kafka.brokers: ${given.env} is not host:port, or several of them divided by commas`,
    );
  return found;
}

interface Resolve {
  readonly value: (
    reference: { env: string; default?: string | undefined },
    path: string,
  ) => string;
  readonly secret: (reference: SecretReference, path: string) => Secret;
}

function login(
  sasl: NonNullable<KafkaSettings['sasl']>,
  { value, secret }: Resolve,
): Login | undefined {
  const at = 'changeLog.kafka.sasl';
  if (sasl.mechanism !== 'oauthbearer')
    return {
      mechanism: sasl.mechanism,
      username:
        typeof sasl.username === 'string' ? sasl.username : value(sasl.username, `${at}.username`),
      password: secret(sasl.password, `${at}.password`),
    };
  if (sasl.token) return { mechanism: 'oauthbearer', token: secret(sasl.token, `${at}.token`) };
  if (!sasl.tokenEndpoint) return undefined;
  const { url, clientId, clientSecret, scope } = sasl.tokenEndpoint;
  return {
    mechanism: 'oauthbearer',
    token: {
      ...{ url, clientId, scope },
      clientSecret: secret(clientSecret, `${at}.tokenEndpoint.clientSecret`),
    },
  };
}
