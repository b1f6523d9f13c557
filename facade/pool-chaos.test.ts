// Upstreams that say and do anything in any order, and clients that give up: each request is sent at most
// once and ends once, with its own answer, or with none where its own upstream has broken it.
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, expect, test } from '@jest/globals';
import { eventually } from '../test/support/http.ts';
import { closeRigs, rig, type Told } from '../test/support/pool.ts';
import { randomOf, seeds } from '../test/support/random.ts';

afterEach(closeRigs);

const REQUESTS = 400;
const PATIENCE_MS = 150;
const STOLEN = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen';

const plain = (target: string, fields = ''): string =>
  `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${target.length}\r\n\r\n${target}`;

type Script = (target: string, socket: Socket) => string | undefined;

/** Its request has its answer, whatever else happens. */
const SOUND: Readonly<Record<string, Script>> = {
  plain: (target) => plain(target),
  chunks: (target) =>
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${target.length.toString(16)};a\r\n${target}\r\n0\r\nA: b\r\n\r\n`,
  pieces: (target, socket) => {
    const [...bytes] = plain(target);
    const next = (): void => {
      socket.write(bytes.splice(0, 9).join(''));
      if (bytes.length > 0) setImmediate(next);
    };
    next();
    return undefined;
  },
  'behind hints': (target) => `HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n${plain(target)}`,
  'with something behind it': (target) => plain(target) + STOLEN,
  'without a body, with something behind it': () => `HTTP/1.1 204 x\r\n\r\n${STOLEN}`,
  'the last one': (target) => plain(target, 'Connection: close\r\n'),
  'of HTTP/1.0': (target) => plain(target).replace('/1.1', '/1.0'),
  'and the end': (target, socket) => {
    socket.end(plain(target));
    return undefined;
  },
  'up to the end': (target, socket) => {
    socket.end(`HTTP/1.1 200 OK\r\n\r\n${target}`);
    return undefined;
  },
};

/** Its request has none. */
const BROKEN: Readonly<Record<string, Script>> = {
  'half of it': (target, socket) => {
    const half = plain(target).replace('Length: ', 'Length: 9');
    socket.write(half, () => socket.resetAndDestroy());
    return undefined;
  },
  'a reset': (_target, socket) => {
    socket.resetAndDestroy();
    return undefined;
  },
  'the end': (_target, socket) => {
    socket.end();
    return undefined;
  },
  nonsense: () => 'nonsense\r\n\r\n',
  'two lengths': (target) => plain(target, 'Content-Length: 1\r\n'),
  nothing: () => undefined,
};

interface Sent {
  readonly target: string;
  readonly told: Told;
  since: number;
  /** What it had been told when its client gave up. */
  atEnd: string | undefined;
}

const said = ({ told }: Sent): string => JSON.stringify([told.statuses, told.body, told.over]);

test.each(seeds(6))('whatever they do, nobody gets what is not his (seed %d)', async (seed) => {
  const random = randomOf(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const broken = new Set<string>();
  const { send, pool, sockets, arrived } = await rig(
    (target, socket) => {
      const isBroken = random() < 0.15;
      if (isBroken) broken.add(target);
      return pick(Object.values(isBroken ? BROKEN : SOUND))(target, socket);
    },
    { connections: 5 },
  );
  const all: Sent[] = [];
  const giveUp = (one: Sent): void => {
    one.told.sending?.giveUp();
    one.atEnd ??= said(one);
  };
  for (let nth = 0; nth < REQUESTS; nth++) {
    const target = `/${nth}`;
    const whole = Buffer.from(target);
    const body = pick([null, whole, Readable.from([whole, whole])]);
    const one = {
      target,
      told: send(target, { method: 'POST', body }),
      since: 0,
      atEnd: undefined,
    };
    all.push(one);
    if (random() < 0.1) giveUp(pick(all.filter(({ told }) => !told.over)));
    if (random() < 0.5) await new Promise(setImmediate);
  }
  await eventually('all of them to end', () => {
    const now = performance.now();
    for (const one of all)
      if (one.told.connected && !one.told.over) {
        one.since ||= now;
        // It waits for nothing, or for the rest of its answer: the others go on.
        if (now - one.since > PATIENCE_MS) giveUp(one);
      }
    return all.every(({ told, atEnd }) => told.over || atEnd !== undefined);
  });
  const whole = all.filter(({ told }) => told.trailers !== undefined);
  for (const { target, told } of whole)
    expect([target, told.body]).toEqual([target, told.statuses.at(-1) === 204 ? '' : target]);
  const failed = all.filter(({ told }) => told.error !== undefined).map(({ target }) => target);
  expect(failed.filter((target) => !broken.has(target))).toEqual([]);
  expect(new Set(arrived).size).toBe(arrived.length);
  expect(whole.length).toBeGreaterThan(REQUESTS / 2);
  expect(failed.length).toBeGreaterThan(10);
  // Nothing comes for who has given up, and nothing is left behind.
  pool.close();
  await eventually('every connection to end', () => sockets.every(({ destroyed }) => destroyed));
  for (const one of all) if (one.atEnd !== undefined) expect(said(one)).toBe(one.atEnd);
});
