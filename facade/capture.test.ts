import { expect, test } from '@jest/globals';
import { capture, type Captured } from './capture.ts';
import { Memory, Purse } from './memory.ts';

interface Captures {
  readonly seen: Captured[];
  readonly tap: ReturnType<typeof capture>;
  readonly memory: Memory;
}

function captured(bodyBytes: number, isHead = false, memoryBytes = 1_000): Captures {
  const seen: Captured[] = [];
  const memory = new Memory(memoryBytes);
  const options = { bodyBytes, isHead, purse: new Purse(memory), wanted: new Set(['x-a']) };
  return { seen, memory, tap: capture(options, (one) => seen.push(one)) };
}

test('keeps the whole answer, of the headers those that are wanted, repeated fields joined', () => {
  const { seen, tap } = captured(10);
  tap.head(200, ['X-A', '1', 'x-a', '2', 'x-b', '3']);
  tap.data(Buffer.from('12345'));
  tap.data(Buffer.from('67890'));
  tap.end();
  expect(seen).toEqual([
    {
      kind: 'whole',
      asked: undefined,
      status: 200,
      headers: { 'x-a': '1, 2' },
      body: Buffer.from('1234567890'),
    },
  ]);
});

test('over its limit it lets go at once, not at the end', () => {
  const { seen, tap } = captured(10);
  tap.head(200, []);
  tap.data(Buffer.alloc(11));
  expect(seen).toEqual([{ kind: 'dropped', reason: 'too-large' }]);
  tap.data(Buffer.alloc(11));
  tap.end();
  expect(seen).toHaveLength(1);
});

test('an announced length over the limit is not even begun', () => {
  const { seen, tap } = captured(10);
  tap.head(200, ['Content-Length', '11']);
  expect(seen).toEqual([{ kind: 'dropped', reason: 'too-large' }]);
});

test('the answer to a HEAD announces what it has not', () => {
  const { seen, tap } = captured(10, true);
  tap.head(200, ['Content-Length', '11']);
  tap.end();
  expect(seen).toMatchObject([{ kind: 'whole', body: Buffer.alloc(0) }]);
});

test('it takes no more memory than is left, and gives it back when it lets go', () => {
  const { seen, tap, memory } = captured(1_000, false, 100);
  tap.head(200, []);
  tap.data(Buffer.alloc(60));
  expect(memory.free).toBe(40);
  tap.data(Buffer.alloc(60));
  expect(seen).toEqual([{ kind: 'dropped', reason: 'memory' }]);
  expect(memory.free).toBe(100);
});

test('an answer that broke off tells nothing', () => {
  const { seen, tap } = captured(10);
  tap.head(200, []);
  tap.data(Buffer.alloc(1));
  tap.fail();
  tap.end();
  expect(seen).toEqual([{ kind: 'dropped', reason: 'control-failed' }]);
});
