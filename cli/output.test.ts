import { expect, test } from '@jest/globals';
import { BanyanError } from '../core/errors.ts';
import { answerError, table } from './output.ts';

function captured(work: () => number): { code: number; stdout: string; stderr: string } {
  const [stdout, stderr] = [
    process.stdout.write.bind(process.stdout),
    process.stderr.write.bind(process.stderr),
  ];
  const out = { stdout: '', stderr: '' };
  process.stdout.write = (text: string) => ((out.stdout += text), true);
  process.stderr.write = (text: string) => ((out.stderr += text), true);
  try {
    return {
      code: work(),
      ...out,
      get stdout() {
        return out.stdout;
      },
      get stderr() {
        return out.stderr;
      },
    };
  } finally {
    process.stdout.write = stdout;
    process.stderr.write = stderr;
  }
}

test('an error is its code, what happened, and how to mend it; the exit code is the catalogue’s', () => {
  const error = new BanyanError('GATE_REFUSED', 'not yet', {
    hint: 'Wait.',
    details: { gates: [] },
  });
  expect(captured(() => answerError(false, error))).toMatchObject({
    code: 5,
    stdout: '',
    stderr: '[GATE_REFUSED] not yet\nWait.\n',
  });
  const { code, stdout } = captured(() => answerError(true, error));
  expect(code).toBe(5);
  expect(JSON.parse(stdout)).toEqual({
    error: { code: 'GATE_REFUSED', message: 'not yet', hint: 'Wait.', details: { gates: [] } },
  });
});

test('an error that nobody expected is a defect of ours', () => {
  const { code, stderr } = captured(() => answerError(false, new TypeError('oops')));
  expect(code).toBe(70);
  expect(stderr).toContain('[INTERNAL] oops');
});

test('columns are as wide as their widest cell, and lines have no trailing blanks', () => {
  expect(
    table([
      ['a', 'bb'],
      ['ccc', ''],
    ]),
  ).toBe('a    bb\nccc');
});
