// The classes of a Java program as Java itself keeps them, read and checked already (class data sharing):
// a program that begins with them starts in half the processor's time. A run that ends in order writes
// them; where Java cannot write or read them, the program starts as it always does.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export interface JavaClasses {
  /** Whether they are there: `options` have a run begin with them; else they have it write them at its end. */
  readonly known: boolean;
  readonly options: readonly string[];
  /** Keeps what a run has written that ended with this exit code. */
  keep(exitCode: number | undefined): Promise<void>;
}

/** What Java has to say about them is not for a program's output; not every Java knows of them. */
const QUIET = ['-Xlog:disable', '-XX:+IgnoreUnrecognizedVMOptions'];
const KILLED = 137;

/** `source` is what they depend on beside the version of Java: another one is another program. */
export async function javaClasses(program: string, source: string): Promise<JavaClasses> {
  const { stderr } = await promisify(execFile)('java', ['-version']);
  const hash = createHash('sha256').update(stderr).update(source).digest('hex').slice(0, 16);
  const folder = path.join(homedir(), '.cache', 'banyan', 'classes');
  const file = path.join(folder, `${program}-${hash}.jsa`);
  const known = await access(file).then(
    () => true,
    () => false,
  );
  if (known)
    return {
      known,
      options: [...QUIET, `-XX:SharedArchiveFile=${file}`],
      keep: () => Promise.resolve(),
    };
  await mkdir(folder, { recursive: true });
  const work = `${file}.${randomBytes(4).toString('hex')}`;
  return {
    known,
    options: [...QUIET, `-XX:ArchiveClassesAtExit=${work}`],
    keep: async (exitCode) => {
      // One that was killed may have left half of it; one that could not write it, nothing.
      if (exitCode === KILLED) await rm(work, { force: true });
      else await rename(work, file).catch(() => undefined);
    },
  };
}
