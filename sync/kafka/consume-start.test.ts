import { expect, test } from '@jest/globals';
import { assertSameTopics } from './consume-start.ts';

const place = { next: 5n, position: { timeline: 1, commitLsn: 5n, seq: 1 }, part: 0 };
const read = (...names: string[]): Map<string, typeof place> =>
  new Map(names.map((name) => [name, place]));

test('a flow whose prefix or layout was changed does not begin anew in topics it has not read', () => {
  const stored = read('old.monolith.changes/0');
  for (const topics of [['new.monolith.changes'], ['old.monolith.public.prd']])
    expect(() => {
      assertSameTopics(topics, stored);
    }).toThrow(expect.objectContaining({ code: 'KAFKA_LOG_LOST' }));
});

test('a new flow begins, one that has been there goes on, also where some of its topics were silent', () => {
  assertSameTopics(['a.changes'], read());
  assertSameTopics(['a.changes'], read('a.changes/0'));
  assertSameTopics(['a.public.cat', 'a.public.prd'], read('a.public.prd/2'));
  assertSameTopics(['a.public.prd'], read('a.public.cat/0', 'a.public.prd/0'));
});
