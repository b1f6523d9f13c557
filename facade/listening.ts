// Ports: opened with one clear error when that fails, and closed with or without patience.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';

export interface Listen {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Other processes listen there too, and the kernel deals connections out (SO_REUSEPORT). */
  readonly shared?: boolean;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is taken',
  EACCES: 'that is not allowed',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
};

/** Listens; gives the URL with the real port. Throws CONFIG_INVALID where that cannot be. */
export async function listen(server: Server, at: Listen): Promise<string> {
  try {
    await open(server, at, at.shared === true);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // Where the kernel cannot, node:cluster's leading process deals them out.
    if (at.shared === true && code === 'ENOTSUP') await open(server, at, false);
    else if (REASONS[code] === undefined) throw error;
    else
      throw new BanyanError(
        'CONFIG_INVALID',
        `cannot listen on ${at.host}:${at.port}: ${REASONS[code]}`,
        { hint: 'Name another port or address.', cause: error },
      );
  }
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function open(server: Server, { host, port }: Listen, reusePort: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, reusePort }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/**
 * Finds out whether a port can be listened on, before anybody is started for it; 0 becomes a free one.
 * Throws CONFIG_INVALID.
 */
export async function probePort(at: Listen): Promise<Listen> {
  const server = createServer();
  const url = new URL(await listen(server, at));
  await closeNow(server);
  return { ...at, port: Number(url.port) };
}

/** Stops accepting and waits for the answers that are due, for so many milliseconds at most. */
export async function drainServer(
  server: Server,
  inFlight: () => number,
  timeoutMs: number,
): Promise<void> {
  if (!server.listening) return;
  const closed = Promise.withResolvers<undefined>();
  server.close(() => {
    closed.resolve(undefined);
  });
  const over = new AbortController();
  void closed.promise.then(() => {
    over.abort();
  });
  const deadline = performance.now() + timeoutMs;
  while (!over.signal.aborted && performance.now() < deadline) {
    // A connection that has become idle is closed at once, not after its keep-alive.
    server.closeIdleConnections();
    await sleep(inFlight() > 0 ? 25 : 5, over.signal);
  }
  server.closeAllConnections();
  await closed.promise;
}

/** Waits for the answers that are due where somebody else listens, as long at most. */
export async function answered(inFlight: () => number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (inFlight() > 0 && performance.now() < deadline) await sleep(25);
}

/** Closes at once. */
export async function closeNow(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  server.closeAllConnections();
  await closed;
}
