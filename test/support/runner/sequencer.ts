// In which order a run takes the files: those that have a Kafka to themselves are spread among those that
// have a PostgreSQL, so that what computes runs beside what waits, and the many short ones fill up the end;
// among these such as ask for more time than is usual are first, or a worker would be at one when the others
// have nothing left. The order is the same on every machine; otherwise the larger file is first, as Jest has it.
import { readFileSync } from 'node:fs';

interface Test {
  readonly path: string;
  readonly context: { readonly config: { readonly rootDir: string } };
}

type Kind = 'kafka' | 'databases' | 'short';

function kindOf({ path, context }: Test): Kind {
  if (path.endsWith('.kafka.test.ts')) return 'kafka';
  const isAcross = /^.test.[^/\\]*$/.test(path.slice(context.config.rootDir.length));
  return isAcross || path.endsWith('.pg.test.ts') ? 'databases' : 'short';
}

/** The time limit of a test that computes for long. */
const LONG = /^ *\}?,? ?\d{3,}_000[,)]/m;

/** That of a file; one that has a long test is larger than any. */
function sizeOf(test: Test): number {
  const text = readFileSync(test.path, 'utf8');
  return kindOf(test) === 'short' && LONG.test(text) ? Number.MAX_SAFE_INTEGER : text.length;
}

/** The files of a kind, each with its place between 0 and 1 among them. */
function placed<T extends Test>(tests: readonly T[]): { readonly test: T; readonly at: number }[] {
  const sizes = new Map(tests.map((test) => [test, sizeOf(test)]));
  return [...tests]
    .sort((one, other) => (sizes.get(other) ?? 0) - (sizes.get(one) ?? 0))
    .map((test, index) => ({ test, at: (index + 0.5) / tests.length }));
}

/** What Jest asks of `config.testSequencer`. */
export default class Sequencer {
  sort<T extends Test>(tests: readonly T[]): T[] {
    const of = (kind: Kind) => placed(tests.filter((test) => kindOf(test) === kind));
    const long = [...of('kafka'), ...of('databases')].sort((one, other) => one.at - other.at);
    return [...long, ...of('short')].map(({ test }) => test);
  }

  shard<T extends Test>(
    tests: readonly T[],
    { shardIndex, shardCount }: { readonly shardIndex: number; readonly shardCount: number },
  ): T[] {
    return this.sort(tests).filter((_, index) => index % shardCount === shardIndex - 1);
  }

  /** Outcomes of earlier runs are not kept. */
  allFailedTests<T extends Test>(tests: readonly T[]): T[] {
    return this.sort(tests);
  }

  cacheResults(): void {
    // See above.
  }
}
