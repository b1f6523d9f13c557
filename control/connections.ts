// Turns the references of a definition into URLs. All missing variables are reported at once; the
// environment is an argument, so nobody below the command line reads it.
import { BanyanError } from '../core/errors.ts';
import type { KafkaConnection } from '../core/kafka/connection.ts';
import type { Migration, Reference } from './definition.ts';
import { resolveKafka } from './kafka-connection.ts';
import { resolveWebhooks } from './webhook-connections.ts';
import type { Webhook } from './webhooks.ts';

/** The three logins of a database that takes part. */
export interface Logins {
  readonly capture: string;
  readonly applier: string;
  readonly coordinator: string;
}

export interface SideConnections {
  readonly upstream: string;
  readonly database: Logins | undefined;
}

export interface Connections {
  readonly control: string | undefined;
  readonly monolith: SideConnections;
  readonly services: Readonly<Record<string, SideConnections>>;
  /** Where the change log is Kafka. */
  readonly kafka?: KafkaConnection | undefined;
  /** By capability; an edge has none. */
  readonly webhooks?: Readonly<Record<string, readonly Webhook[]>>;
}

/**
 * Throws CONFIG_INVALID naming every reference that cannot be resolved. An edge resolves no database
 * but the control database, and no Kafka: it needs none of those logins, so its environment need not hold them.
 */
export function resolveConnections(
  migration: Migration,
  environment: Readonly<Record<string, string | undefined>>,
  role: 'all' | 'edge' = 'all',
): Connections {
  const mistakes: string[] = [];
  const resolve = (reference: Reference, at: string, protocols: readonly string[]): string => {
    const value =
      typeof reference === 'string' ? reference : (environment[reference.env] ?? reference.default);
    if (value === undefined || value === '') {
      mistakes.push(
        `${at}: environment variable ${typeof reference === 'string' ? '?' : reference.env} is not set`,
      );
      return '';
    }
    if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol))
      mistakes.push(
        `${at}: not a URL of the form ${protocols.map((protocol) => `${protocol}//…`).join(' or ')}`,
      );
    return value;
  };
  const side = (given: Migration['monolith'], at: string): SideConnections => ({
    upstream: resolve(given.upstream, `${at}.upstream`, ['http:', 'https:']),
    database:
      given.database && role === 'all'
        ? {
            capture: resolve(given.database.capture, `${at}.database.capture`, POSTGRES),
            applier: resolve(given.database.applier, `${at}.database.applier`, POSTGRES),
            coordinator: resolve(
              given.database.coordinator,
              `${at}.database.coordinator`,
              POSTGRES,
            ),
          }
        : undefined,
  });
  const connections = {
    control: migration.control && resolve(migration.control, 'control', POSTGRES),
    monolith: side(migration.monolith, 'monolith'),
    services: Object.fromEntries(
      Object.entries(migration.services).map(([name, given]) => [
        name,
        side(given, `services.${name}`),
      ]),
    ),
    ...(migration.changeLog !== 'direct' &&
      role === 'all' && { kafka: resolveKafka(migration.changeLog.kafka, environment, mistakes) }),
    ...(role === 'all' && {
      webhooks: resolveWebhooks(migration.capabilities, environment, mistakes),
    }),
  };
  if (mistakes.length > 0)
    throw new BanyanError(
      'CONFIG_INVALID',
      `connections cannot be resolved:\n${mistakes.map((line) => `  - ${line}`).join('\n')}`,
      {
        hint: 'Set the variables, or write the URL into the definition.',
        details: mistakes,
      },
    );
  return connections;
}

const POSTGRES = ['postgres:', 'postgresql:'];
