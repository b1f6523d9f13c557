import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { closeFrame, FrameBoundary } from './frames.ts';

/** A frame as a server (or, masked, a client) would send it. */
function frame(opcode: number, length: number, masked: boolean): Buffer {
  const mark = masked ? 0x80 : 0;
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(length));
  const size =
    length < 126
      ? Buffer.of(mark | length)
      : length < 65_536
        ? Buffer.concat([Buffer.of(mark | 126), long.subarray(6)])
        : Buffer.concat([Buffer.of(mark | 127), long]);
  // A payload that looks like frames.
  return Buffer.concat([
    Buffer.of(0x80 | opcode),
    size,
    Buffer.alloc(masked ? 4 : 0),
    Buffer.alloc(length, 0x88),
  ]);
}

describe('the boundary of frames', () => {
  test('is found wherever the stream is cut, and nowhere else', () => {
    const one = fc.record({
      opcode: fc.constantFrom(0, 1, 2, 9, 10),
      length: fc.constantFrom(0, 1, 125, 126, 127, 65_535, 65_536, 70_000),
      masked: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(one, { maxLength: 5 }),
        fc.infiniteStream(fc.constantFrom(1, 2, 3, 100, 65_000)),
        (frames, steps) => {
          const whole = Buffer.concat(frames.map((f) => frame(f.opcode, f.length, f.masked)));
          const ends = new Set([0]);
          let end = 0;
          for (const f of frames) ends.add((end += frame(f.opcode, f.length, f.masked).length));
          const boundary = new FrameBoundary();
          let at = 0;
          while (at < whole.length) {
            const { value: step } = steps.next() as { value: number };
            boundary.see(whole.subarray(at, at + step));
            at = Math.min(at + step, whole.length);
            expect(boundary.between).toBe(ends.has(at));
            expect(boundary.closed).toBe(false);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a Close frame is noticed', () => {
    const boundary = new FrameBoundary();
    boundary.see(Buffer.concat([frame(1, 3, false), closeFrame(1012)]));
    expect(boundary.closed).toBe(true);
    expect([...closeFrame(1012)]).toEqual([0x88, 2, 0x03, 0xf4]);
  });
});
