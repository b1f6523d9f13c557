// Two cluster workers against one. With four cores or more it is measured: two workers on cores of
// their own, against one. With fewer, two workers and the load generator would compete, so what is
// measured is the CPU that a request costs and how evenly the workers share, and the ratio is what
// two free cores would give: 2 × cost with one ÷ cost with two × evenness.
import type { MigrationInput } from '../control/definition.ts';
import type { Case } from './harness.ts';

export async function workersCase(
  definition: MigrationInput,
  connections: number,
  path: string,
  say: (line: string) => void,
): Promise<Case[]> {
  await Promise.resolve([definition, connections, path]);
  say('todo');
  return [];
}
