// How Kafka is reached, secrets resolved. A secret in a file is read when it is needed, because whoever
// renews it writes the file and restarts nobody.
import { readFileSync } from 'node:fs';
import { BanyanError, messageOf } from '../errors.ts';

/** A secret as it is now. Throws CONFIG_INVALID where its file cannot be read. */
export type Secret = () => string;

export interface TlsFiles {
  /** Paths of PEM files. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: Secret | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized: boolean;
}

export interface TokenEndpoint {
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: Secret;
  readonly scope?: string | undefined;
}

export type Login =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
      readonly username: string;
      readonly password: Secret;
    }
  | { readonly mechanism: 'oauthbearer'; readonly token: Secret | TokenEndpoint };

export interface KafkaConnection {
  /** host:port */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly tls: TlsFiles | undefined;
  readonly sasl: Login | undefined;
}

/** A text file's content without the line break at its end. Throws CONFIG_INVALID. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new BanyanError('CONFIG_INVALID', `${file} cannot be read: ${messageOf(error)}`, {
      hint: 'Correct its path under changeLog.kafka, or its permissions.',
      cause: error,
    });
  }
}
