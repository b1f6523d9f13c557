// Released Java programs, fetched by Maven into its own store: gives the class path to run them with.
// What was found once is remembered beside it, as long as every file of it is still there.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { BanyanError, messageOf } from '../errors.ts';

const run = promisify(execFile);

const HINT =
  'Install Java (17 or newer) and Maven — Debian: apt-get install default-jre-headless maven — or use brokers of your own.';
const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath';

/** Throws EMBEDDED_KAFKA where there is no Java that Kafka 4 runs on. */
export async function requireJava(): Promise<void> {
  const said = await run('java', ['-version']).catch((error: unknown) => {
    throw new BanyanError('EMBEDDED_KAFKA', `there is no Java here: ${messageOf(error)}`, {
      hint: HINT,
      cause: error,
    });
  });
  // It answers on stderr: openjdk version "17.0.15" 2025-04-15
  const version = /version "(\d+)/.exec(said.stderr)?.[1];
  if (version !== undefined && Number(version) < 17)
    throw new BanyanError('EMBEDDED_KAFKA', `this is Java ${version}, and Kafka 4 needs 17`, {
      hint: HINT,
    });
}

/**
 * Class path of these (`group:artifact:version`) and all that they need. Throws EMBEDDED_KAFKA where
 * Maven is missing or cannot fetch them.
 */
export async function classPath(dependencies: readonly string[]): Promise<string> {
  const pom = pomOf(dependencies);
  const name = createHash('sha256').update(pom).digest('hex').slice(0, 16);
  const folder = path.join(homedir(), '.cache', 'banyan', 'maven');
  const known = path.join(folder, `${name}.classpath`);
  const remembered = await readFile(known, 'utf8').catch(() => undefined);
  if (remembered !== undefined && (await areThere(remembered.split(path.delimiter))))
    return remembered;
  // Several that start at once each do it for themselves: the last one's answer stays, and is the same.
  const work = path.join(folder, `${name}.${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    await writeFile(path.join(work, 'pom.xml'), pom);
    const found = path.join(work, 'classpath');
    await run(
      'mvn',
      ['-q', '-B', '-f', work, PLUGIN, `-Dmdep.outputFile=${found}`, '-Dmdep.includeScope=runtime'],
      { maxBuffer: 16_777_216 },
    );
    const jars = (await readFile(found, 'utf8')).trim();
    await writeFile(`${found}.whole`, jars);
    await rename(`${found}.whole`, known);
    return jars;
  } catch (error) {
    const { stdout, code } = error as { readonly stdout?: string; readonly code?: unknown };
    if (code === 'ENOENT')
      throw new BanyanError('EMBEDDED_KAFKA', 'there is no Maven here: `mvn` is not found', {
        hint: HINT,
        cause: error,
      });
    const said = stdout?.split('\n').find((line) => line.startsWith('[ERROR]'));
    throw new BanyanError(
      'EMBEDDED_KAFKA',
      `Maven cannot fetch ${dependencies.join(', ')}: ${said ?? messageOf(error)}`,
      { hint: 'It needs a way to a Maven repository (~/.m2/settings.xml).', cause: error },
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function pomOf(dependencies: readonly string[]): string {
  const entries = dependencies.map((one) => {
    const [group = '', artifact = '', version = ''] = one.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>banyan</groupId><artifactId>fetched</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${entries.join('\n')}</dependencies>
</project>
`;
}

async function areThere(files: readonly string[]): Promise<boolean> {
  return Promise.all(files.map((file) => access(file))).then(
    () => true,
    () => false,
  );
}
