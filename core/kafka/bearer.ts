// SASL OAUTHBEARER (RFC 7628), because kafkajs's own takes a broker's no for a yes: it answers a token that
// it does not take with a text instead of an error (§3.2.2), and kafkajs does not read the answer.
import type { Mechanism } from 'kafkajs';
import { BanyanError } from '../errors.ts';

/** Logs in with what `token` gives at that moment. */
export function bearerMechanism(token: () => Promise<string>): Mechanism {
  return {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }) => ({
      authenticate: async () => {
        const message = Buffer.from(`n,,\u0001auth=Bearer ${await token()}\u0001\u0001`);
        const answer = await saslAuthenticate({
          request: { encode: () => Buffer.concat([sizeOf(message), message]) },
          response: {
            decode: (raw) => raw.subarray(4),
            parse: (text) => text.toString(),
          },
        });
        if (answer)
          throw new BanyanError(
            'KAFKA_UNREACHABLE',
            `Kafka refuses the login: ${answer.slice(0, 200)}`,
            {
              hint: 'Check changeLog.kafka.sasl: that its token is for these brokers, and has not run out.',
            },
          );
      },
    }),
  };
}

function sizeOf(message: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(message.length);
  return size;
}
