// `banyan demo`: the sample shop carved under load, on a PostgreSQL of its own, its changes read from
// the slots or, with --kafka, brought over a Kafka of its own. With --auto it walks
// all phases by itself and ends with a report; without, it stands there to be played with.
import { writeFileSync } from 'node:fs';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { BanyanError, messageOf } from '../core/errors.ts';
import type { GlobalOptions } from './context.ts';
import type { Fault, Stage } from './demo/stage.ts';
import { interruption } from './running.ts';

interface DemoFlags {
  readonly auto?: boolean;
  readonly kafka?: boolean;
  readonly report?: string;
  readonly fault?: Fault;
  readonly products: number;
}

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('carve the sample shop under load, on an embedded PostgreSQL')
    .option('--auto', 'walk all phases, then report and exit')
    .option('--kafka', 'let the changes travel over an Apache Kafka (needs Java 17 and Maven)')
    .option('--report <file>', 'write the report as JSON')
    .addOption(
      new Option('--fault <name>', 'inject a fault, to see it found').choices([
        'wrong-price',
        'lose-change',
      ]),
    )
    .addOption(
      new Option('--products <count>', 'products in the shop').default(10_000).argParser(count),
    )
    .action(async (flags: DemoFlags, command: Command) => {
      await demo(flags, command.optsWithGlobals<GlobalOptions>());
    });
}

async function demo(flags: DemoFlags, globals: GlobalOptions): Promise<void> {
  const signal = interruption();
  const say = (line: string): void => {
    if (!globals.json) process.stdout.write(`${line}\n`);
  };
  // Loaded here, and not with every other command.
  const [{ buildStage }, { Walk }, { printReport }] = await Promise.all([
    import('./demo/stage.ts'),
    import('./demo/walk.ts'),
    import('./demo/report.ts'),
  ]);
  let stage: Stage | undefined;
  try {
    stage = await buildStage({
      globals,
      products: flags.products,
      kafka: flags.kafka ?? false,
      fault: flags.fault,
      onProgress: say,
      signal,
    });
    const walk = new Walk(stage, say, signal);
    say(welcome(stage, flags.auto ?? false));
    await walk.begin();
    const failure = await attempt(flags.auto ? walk.auto() : walk.follow());
    const closing = await attempt(walk.end());
    const error = failure ?? closing;
    if (signal.aborted && flags.auto) throw interrupted();
    const report = await walk.figures.report(walk.ledger, error);
    if (flags.report !== undefined)
      writeFileSync(flags.report, `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(globals.json ? `${JSON.stringify(report)}\n` : `${printReport(report)}\n`);
    if (error) throw error;
    if (!report.ok)
      throw new BanyanError(
        'DEMO_FAILED',
        'a request failed or a write was lost; the report names them',
      );
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    await stage?.close();
  }
}

async function attempt(work: Promise<void>): Promise<Error | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
}

function interrupted(): Error {
  return new Error('interrupted');
}

function welcome(stage: Stage, auto: boolean): string {
  const where = `
  the edge        ${stage.facadeUrl}/api/products
  its metrics     ${stage.adminUrl}/metrics
  the monolith    ${stage.monolithUrl}
  the service     ${stage.serviceUrl}
${stage.kafka === undefined ? '' : `  Kafka           ${stage.kafka}\n`}`;
  if (auto) return where;
  return `${where}
Load is running. Try, in a second terminal in this folder:

  curl '${stage.facadeUrl}/api/products?pageSize=2'
  npm run banyan -- status
  npm run banyan -- advance catalog               (to sync: the copy starts)
  npm run banyan -- advance catalog               (to shadow: answers are compared)
  npm run banyan -- advance catalog --weight 10   (to canary)
  npm run banyan -- verify catalog
  npm run banyan -- advance catalog               (to cutover: the owner changes)
  npm run banyan -- rollback catalog
  npm run banyan -- journal catalog

Ctrl-C ends everything and looks every acknowledged write up.`;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 500)
    throw new InvalidArgumentError('Give a whole number of at least 500.');
  return value;
}
