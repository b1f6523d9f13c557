import { expect, test } from '@jest/globals';
import { capture, type Captured } from './capture.ts';

function captured(bodyBytes: number): { seen: Captured[]; tap: ReturnType<typeof capture> } {
  const seen: Captured[] = [];
  return { seen, tap: capture(bodyBytes, (one) => seen.push(one)) };
}

test('keeps the whole answer, repeated fields joined', () => {
  const { seen, tap } = captured(10);
  tap.head(200, ['X-A', '1', 'x-a', '2']);
  tap.data(Buffer.from('12345'));
  tap.data(Buffer.from('67890'));
  tap.end();
  expect(seen).toEqual([
    { kind: 'whole', status: 200, headers: { 'x-a': '1, 2' }, body: Buffer.from('1234567890') },
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

test('an answer that broke off tells nothing', () => {
  const { seen, tap } = captured(10);
  tap.head(200, []);
  tap.data(Buffer.alloc(1));
  tap.fail();
  tap.end();
  expect(seen).toEqual([{ kind: 'dropped', reason: 'control-failed' }]);
});
