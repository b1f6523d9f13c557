// Opens a socket to an upstream. What comes by a plain one is read into one buffer for all of them, and only
// as much as came is kept of it: a buffer of its own for each read costs more than all of its parsing.
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** Where an origin is. */
export interface Address {
  readonly secure: boolean;
  /** Without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** A host without the brackets of an IPv6 address. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** The name in a TLS handshake. RFC 6066 §3: an address is none; the certificate is checked against it all the same. */
export function servernameOf(host: string): string {
  return isIP(host) === 0 ? host : '';
}

/** A socket that is being opened. */
export interface Dialled {
  readonly socket: Socket;
  /** Says when it is open, with its handshake. */
  readonly event: 'connect' | 'secureConnect';
  /** Who is given what comes; the bytes are theirs to keep. Nothing may have come before. */
  onBytes: (bytes: Buffer) => void;
}

const TCP_KEEP_ALIVE_MS = 60_000;
const BUFFER = Buffer.allocUnsafeSlow(65_536);

/** `session` is a TLS session to go on with; new ones go to `onSession`. */
export function dial(
  { secure, hostname, port }: Address,
  session: Buffer | undefined,
  onSession: (session: Buffer) => void,
): Dialled {
  const options = {
    ...{ host: hostname, port, noDelay: true },
    ...{ keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS },
  };
  const onBytes = (): void => {
    throw new Error('nobody reads this connection yet');
  };
  if (!secure) {
    const dialled: Dialled = {
      socket: connectPlain({
        ...options,
        onread: {
          buffer: BUFFER,
          callback: (length) => {
            dialled.onBytes(Buffer.from(BUFFER.subarray(0, length)));
            return true;
          },
        },
      }),
      ...{ event: 'connect', onBytes },
    };
    return dialled;
  }
  const socket = connectTls({
    ...options,
    servername: servernameOf(hostname),
    ALPNProtocols: ['http/1.1'],
    ...(session && { session }),
  });
  const dialled: Dialled = { socket, event: 'secureConnect', onBytes };
  socket.on('session', onSession).on('data', (bytes: Buffer) => {
    dialled.onBytes(bytes);
  });
  return dialled;
}
