import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Acker } from './acker.ts';
import { before, invisible, parseSnapshot } from './snapshot.ts';
import { ChunkWindow, Delivered } from './window.ts';

const EPOCH = 1n << 32n;

test('a snapshot tells what it could not see, also where transaction ids wrap around', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 3n, max: 5n * EPOCH }),
      fc.uniqueArray(fc.nat(1_000), { maxLength: 5 }),
      fc.integer({ min: -100_000, max: 100_000 }),
      (xmin, running, away) => {
        const xmax = xmin + 1_001n;
        const open = running.map((offset) => xmin + BigInt(offset));
        const snapshot = parseSnapshot(`${xmin}:${xmax}:${open.join(',')}`);
        const xid = xmin + BigInt(away);
        if (xid < 0n) return;
        expect(invisible(snapshot, Number(xid % EPOCH))).toBe(xid >= xmax || open.includes(xid));
      },
    ),
  );
  expect(before(0xffffffff, 3)).toBe(true);
  expect(before(3, 0xffffffff)).toBe(false);
});

test('a chunk counts only when its read could see all that was delivered before its low mark', () => {
  const snapshot = parseSnapshot('100:110:104');
  const verdict = (delivered: number[], suspects: number[] = []): string => {
    const window = new ChunkWindow(1, ['t']);
    window.low(new Set(delivered));
    return window.verdict(snapshot, new Set(suspects));
  };
  expect(verdict([99, 103])).toBe('apply');
  expect(verdict([104])).toBe('again');
  expect(verdict([110])).toBe('again');
  expect(verdict([], [104])).toBe('again');
  expect(new ChunkWindow(1, ['t']).verdict(snapshot, new Set())).toBe('again');
});

test('only what is touched between the marks, in the window’s tables, competes with the chunk', () => {
  const window = new ChunkWindow(1, ['t']);
  window.touch('t', 'before');
  window.low(new Set());
  window.touch('t', 'in');
  window.touch('other', 'elsewhere');
  expect(['before', 'in', 'elsewhere'].map((key) => window.touched(key))).toEqual([
    false,
    true,
    false,
  ]);
  window.truncated('other');
  expect(window.verdict(parseSnapshot('1:1:'), new Set())).toBe('apply');
  window.truncated('t');
  expect(window.verdict(parseSnapshot('1:1:'), new Set())).toBe('again');
});

test('delivered transactions are forgotten once every snapshot sees them', () => {
  const delivered = new Delivered();
  for (const xid of [0xfffffff0, 5, 9]) delivered.add(xid);
  delivered.seen(parseSnapshot('9:9:'));
  expect([...delivered.copy()]).toEqual([9]);
});

test('what every snapshot sees is not kept, however old the heartbeats are that come with it', () => {
  const delivered = new Delivered();
  const feed = (xids: number[]): number[] => {
    for (const xid of xids) delivered.add(xid);
    return [...delivered.copy()];
  };
  delivered.seen(parseSnapshot('1000:2000:1000,1500'));
  expect(feed([5, 999, 1000, 1001, 1500, 2000])).toEqual([1000, 1500, 2000]);
  // Of a process that ended long ago.
  delivered.seen(parseSnapshot('10:12:11'));
  expect(feed([6, 1001])).toEqual([1000, 1500, 2000]);
  // One transaction that lasts does not keep those that have ended since.
  expect(feed([2001, 2002])).toEqual([1000, 1500, 2000, 2001, 2002]);
  delivered.seen(parseSnapshot('1500:2003:1500,2002'));
  expect([...delivered.copy()]).toEqual([1500, 2002]);
  expect(feed([2003])).toEqual([1500, 2002, 2003]);
});

test('nothing is acknowledged that is not durable, and an idle flow holds nothing back', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('hand', 'durable', 'idle', 'idle inside'), fc.nat(50)), {
        maxLength: 60,
      }),
      (steps) => {
        const acker = new Acker(0n);
        let end = 0n;
        const pending: bigint[] = [];
        for (const [kind, ahead] of steps) {
          if (kind === 'hand') {
            end += BigInt(ahead) + 1n;
            acker.handed(end);
            pending.push(end);
          } else if (kind === 'durable') {
            const done = pending.shift();
            if (done !== undefined) acker.durable(done);
          } else {
            end += BigInt(ahead);
            const before = acker.safe;
            acker.idle(end, kind === 'idle inside');
            if (kind === 'idle inside' || pending.length > 0) expect(acker.safe).toBe(before);
            else expect(acker.safe).toBe(end);
          }
          const oldest = pending[0];
          if (oldest !== undefined) expect(acker.safe).toBeLessThan(oldest);
        }
      },
    ),
  );
});
