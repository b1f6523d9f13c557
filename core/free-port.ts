// A TCP port for a server that is told its port before it starts. The system's own choice for "any" will not
// do: it would give the same port to a connection or to somebody else's server in the moment before ours
// takes it, or while ours is down. So it is one that the system never gives away by itself.
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const LOWEST = 10_000;
const HIGHEST = 65_535;
/** Where systems usually begin to give ports away by themselves: Linux, which can be told otherwise, lowest. */
const USUAL = [32_768, HIGHEST] as const;
const ENOUGH = 1_000;
const TRIES = 100;

/** Those that this process has been given: their servers may be about to start. */
const given = new Set<number>();

/** A port on the loopback that was free a moment ago, and that nobody gets by chance. */
export async function freePort(): Promise<number> {
  const [from, to] = await rangeOfOurs();
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(from, to + 1);
    if (given.has(port) || (await listened(port)) === undefined) continue;
    given.add(port);
    return port;
  }
  const port = await listened(0);
  if (port === undefined) throw new Error('no port');
  return port;
}

/** The ports below those that the system gives away, or, should there be hardly any, above. */
async function rangeOfOurs(): Promise<readonly [from: number, to: number]> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const [low = NaN, high = NaN] = text.split(/\s+/).filter(Boolean).map(Number);
  const [first, last] = Number.isInteger(low) && Number.isInteger(high) ? [low, high] : USUAL;
  if (first - LOWEST >= ENOUGH) return [LOWEST, first - 1];
  return HIGHEST - last >= ENOUGH ? [last + 1, HIGHEST] : [LOWEST, HIGHEST];
}

/** The port, if it can be listened on. */
async function listened(port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  } catch {
    return undefined;
  }
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return address === null || typeof address === 'string' ? undefined : address.port;
}
