// How a contender says where it listens, and how it ends: its URL is the first line of stdout, and
// it goes when its stdin closes, so that none outlives the benchmark.
import type { AddressInfo, Server } from 'node:net';

/** Listens on a free port of loopback and prints the URL. */
export function announce(server: Server): void {
  server.listen(0, '127.0.0.1', () => {
    say((server.address() as AddressInfo).port);
  });
}

/** Prints the URL of something that listens already. */
export function say(port: number): void {
  process.stdout.write(`http://127.0.0.1:${port}\n`);
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
}
