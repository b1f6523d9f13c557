// A TCP proxy that a test stands between us and a server: it can swallow everything without closing a
// connection, as a network does that has lost its way, and can lead to another server.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Proxy {
  /** The same URL by way of the proxy. */
  through(url: string): string;
  /** From now on nothing passes, in either direction, on connections there are; with `all`, nor on new ones. */
  silence(what?: 'all'): void;
  /** New connections pass again; those that were silenced stay so. */
  restore(): void;
  /** New connections lead to another port; those there are, are cut. */
  lead(port: number): void;
  close(): Promise<void>;
}

export async function startProxy(port: number): Promise<Proxy> {
  let to = port;
  let silent = false;
  const pairs = new Set<{ swallow(): void; cut(): void }>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    let swallowing = silent;
    const forward = (from: Socket, into: Socket): void => {
      from.on('data', (chunk) => {
        if (!swallowing) into.write(chunk);
      });
      from.on('error', () => undefined);
      // A peer that is cut off does not hear that the other one has gone either.
      from.on('close', () => {
        if (!swallowing) into.destroy();
      });
    };
    forward(near, far);
    forward(far, near);
    const pair = {
      swallow: () => {
        swallowing = true;
      },
      cut: () => {
        near.destroy();
        far.destroy();
      },
    };
    pairs.add(pair);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  return {
    through: (url) => {
      const through = new URL(url);
      through.port = String(own);
      return through.href;
    },
    silence: (what) => {
      silent = what === 'all';
      for (const pair of pairs) pair.swallow();
    },
    restore: () => {
      silent = false;
    },
    lead: (other) => {
      to = other;
      for (const pair of pairs) pair.cut();
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const pair of pairs) pair.cut();
      await closed;
    },
  };
}
