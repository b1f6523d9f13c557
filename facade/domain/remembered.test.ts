import { describe, expect, test } from '@jest/globals';
import { remembered } from './remembered.ts';

function counting(): { said: (text: string) => boolean; asked: string[] } {
  const asked: string[] = [];
  const said = remembered((text) => {
    asked.push(text);
    return text.startsWith('a');
  });
  return { said, asked };
}

describe('what a function has said', () => {
  test('is asked for once, and false is remembered too', () => {
    const { said, asked } = counting();
    expect([said('a'), said('b'), said('a'), said('b')]).toEqual([true, false, true, false]);
    expect(asked).toEqual(['a', 'b']);
  });

  test('is not remembered of long texts', () => {
    const { said, asked } = counting();
    const long = 'a'.repeat(65);
    expect([said(long), said(long)]).toEqual([true, true]);
    expect(asked).toHaveLength(2);
  });

  test('is forgotten when there are too many, and right again', () => {
    const { said, asked } = counting();
    for (let nth = 0; nth <= 1_024; nth++) said(`a${nth}`);
    expect(said('a0')).toBe(true);
    expect(asked).toHaveLength(1_026);
    expect(said('a1024')).toBe(true);
    expect(asked).toHaveLength(1_026);
  });
});
