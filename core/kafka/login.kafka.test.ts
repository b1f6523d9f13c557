// A real broker with a listener of each kind: TLS with and without client certificates, each SASL mechanism.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { plainConnection, testKafka, type TestKafka } from '../../test/support/kafka.ts';
import { readTopic, silent } from '../../test/support/kafka-records.ts';
import { freePort } from '../free-port.ts';
import { kafkaClient } from './connect.ts';
import type { KafkaConnection, Login } from './connection.ts';
import { ensureTopics } from './topics.ts';

const PASSWORD = 'swordfish-7';
let folder: string;
let kafka: TestKafka;
let ports: Record<'SASL_PLAINTEXT' | 'SSL' | 'SASL_SSL', number>;
let tokens: Server;
let tokenRequests: string[] = [];

const file = (name: string): string => path.join(folder, name);

/** An authority, a certificate of the broker for localhost only, and one of a client. */
function makeCertificates(): void {
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  };
  openssl(
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=authority'],
    ...['-keyout', 'ca.key', '-out', 'ca.pem'],
  );
  for (const [name, names] of [
    ['broker', 'DNS:broker.internal'],
    ['client', 'DNS:client'],
  ] as const) {
    openssl(
      ...['req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`],
      ...['-keyout', `${name}.key`, '-out', `${name}.csr`],
    );
    writeFileSync(file('names'), `subjectAltName=${names}`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-days', '2', '-out', `${name}.pem`, '-extfile', 'names'],
    );
  }
  const pem = execFileSync('sh', ['-c', 'cat broker.key broker.pem ca.pem'], { cwd: folder });
  writeFileSync(file('keystore.pem'), pem);
}

/** What Kafka's unsecured validator believes: a token that nobody has signed. */
function unsecuredToken(subject: string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1_000);
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now, exp: now + 600 })}.`;
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'banyan-login-'));
  makeCertificates();
  ports = {
    SASL_PLAINTEXT: await freePort(),
    SSL: await freePort(),
    SASL_SSL: await freePort(),
  };
  const module = 'org.apache.kafka.common.security';
  const jaas = (listener: string): Record<string, string> => ({
    [`listener.name.${listener}.sasl.enabled.mechanisms`]:
      'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
    [`listener.name.${listener}.plain.sasl.jaas.config`]: `${module}.plain.PlainLoginModule required user_alice="${PASSWORD}";`,
    [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`]: `${module}.scram.ScramLoginModule required;`,
    [`listener.name.${listener}.oauthbearer.sasl.jaas.config`]: `${module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
  });
  kafka = await testKafka({
    listeners: ports,
    users: [
      `SCRAM-SHA-256=[name=alice,password=${PASSWORD}]`,
      `SCRAM-SHA-512=[name=alice,password=${PASSWORD}]`,
    ],
    settings: {
      ...jaas('sasl_plaintext'),
      ...jaas('sasl_ssl'),
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': file('keystore.pem'),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.location': file('ca.pem'),
      'listener.name.ssl.ssl.client.auth': 'required',
    },
  });
  tokens = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      tokenRequests.push(body);
      const right = Buffer.from(`shop:${PASSWORD}`).toString('base64');
      const known = request.headers.authorization === `Basic ${right}`;
      response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify(
          known
            ? { access_token: unsecuredToken('shop'), token_type: 'bearer', expires_in: 600 }
            : { error: 'invalid_client' },
        ),
      );
    });
  });
  await new Promise<void>((resolve) => tokens.listen(0, '127.0.0.1', resolve));
}, 120_000);

afterAll(async () => {
  tokens.close();
  await kafka.remove();
  rmSync(folder, { recursive: true, force: true });
});

const scram = (password = PASSWORD): Login => ({
  ...{ mechanism: 'scram-sha-256', username: 'alice' },
  password: () => password,
});

function through(
  listener: keyof typeof ports,
  more: Partial<KafkaConnection> = {},
): KafkaConnection {
  const tls = { ca: file('ca.pem'), servername: 'broker.internal', rejectUnauthorized: true };
  return {
    ...plainConnection(`127.0.0.1:${ports[listener]}`),
    ...(listener !== 'SASL_PLAINTEXT' && { tls }),
    ...more,
  };
}

async function roundTrip(connection: KafkaConnection, topic: string): Promise<unknown> {
  const client = kafkaClient(connection, silent);
  const admin = await client.admin();
  await ensureTopics(admin, [{ topic, partitions: 1, config: {} }]);
  await admin.close();
  const producer = await client.producer();
  await producer.send([{ ...{ topic, key: null, value: 'hello' }, headers: {} }]);
  await producer.close();
  return (await readTopic(client, topic)).map(({ value }) => value);
}

const endpoint = (secret = PASSWORD): Login => ({
  mechanism: 'oauthbearer',
  token: {
    ...{ url: `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token` },
    ...{ clientId: 'shop', clientSecret: () => secret, scope: 'kafka' },
  },
});

test.each<[string, () => KafkaConnection]>([
  [
    'sasl plain',
    () =>
      through('SASL_PLAINTEXT', {
        sasl: { mechanism: 'plain', username: 'alice', password: () => PASSWORD },
      }),
  ],
  ['sasl scram-sha-256', () => through('SASL_PLAINTEXT', { sasl: scram() })],
  [
    'sasl scram-sha-512',
    () => through('SASL_PLAINTEXT', { sasl: { ...scram(), mechanism: 'scram-sha-512' } as Login }),
  ],
  [
    'sasl oauthbearer with a token',
    () =>
      through('SASL_PLAINTEXT', {
        sasl: { mechanism: 'oauthbearer', token: () => unsecuredToken('shop') },
      }),
  ],
  [
    'sasl oauthbearer with tokens from an endpoint',
    () => through('SASL_PLAINTEXT', { sasl: endpoint() }),
  ],
  ['tls and sasl scram', () => through('SASL_SSL', { sasl: scram() })],
  [
    'tls with a certificate of the client',
    () =>
      through('SSL', {
        tls: {
          ...{ ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') },
          ...{ servername: 'broker.internal', rejectUnauthorized: true },
        },
      }),
  ],
])('records go and come by way of %s', async (label, connection) => {
  tokenRequests = [];
  expect(await roundTrip(connection(), label.replaceAll(' ', '-'))).toEqual(['hello']);
  if (label.includes('endpoint'))
    expect(tokenRequests[0]).toBe('grant_type=client_credentials&scope=kafka');
});

test.each<[string, () => KafkaConnection, RegExp]>([
  [
    'a wrong password',
    () => through('SASL_PLAINTEXT', { sasl: scram('wrong-guess') }),
    /Kafka refuses the login/,
  ],
  [
    'a wrong password, plain',
    () =>
      through('SASL_SSL', {
        sasl: { mechanism: 'plain', username: 'alice', password: () => 'wrong-guess' },
      }),
    /Kafka refuses the login/,
  ],
  [
    'a token that is none',
    () =>
      through('SASL_PLAINTEXT', {
        sasl: { mechanism: 'oauthbearer', token: () => 'wrong-guess' },
      }),
    /Kafka refuses the login/,
  ],
  [
    'an endpoint that knows another secret',
    () => through('SASL_PLAINTEXT', { sasl: endpoint('wrong-guess') }),
    /no token from http:.*: it answers 401 \(invalid_client\)/,
  ],
  [
    'a certificate of nobody known',
    () => through('SASL_SSL', { sasl: scram(), tls: { rejectUnauthorized: true } }),
    /certificate/,
  ],
  [
    "a certificate of somebody else's name",
    () =>
      through('SASL_SSL', {
        ...{ sasl: scram() },
        tls: { ca: file('ca.pem'), rejectUnauthorized: true },
      }),
    /does not match certificate/,
  ],
  [
    'a port where nobody listens',
    () => plainConnection('127.0.0.1:1'),
    /Kafka does not answer while .*ECONNREFUSED/,
  ],
])('%s is one clear error, without a secret in it', async (_, connection, expected) => {
  const lines: string[] = [];
  const log = {
    debug: (...all: unknown[]) => lines.push(JSON.stringify(all)),
    info: (...all: unknown[]) => lines.push(JSON.stringify(all)),
    warn: (...all: unknown[]) => lines.push(JSON.stringify(all)),
    error: (...all: unknown[]) => lines.push(JSON.stringify(all)),
  } as unknown as typeof silent;
  const opened = kafkaClient(connection(), log).admin();
  await expect(opened).rejects.toMatchObject({
    code: 'KAFKA_UNREACHABLE',
    hint: expect.any(String) as unknown,
  });
  await expect(opened).rejects.toThrow(expected);
  const told = [...lines, await opened.then(() => '', String)].join('\n');
  for (const secret of ['wrong-guess', PASSWORD]) expect(told).not.toContain(secret);
});
