// `banyan kafka`: an Apache Kafka of one's own, for a first try and for development; until interrupted.
import path from 'node:path';
import type { Command } from 'commander';
import { BanyanError } from '../core/errors.ts';
import { startEmbeddedKafka } from '../core/kafka/embedded.ts';
import { aborted, type Part } from '../core/lifecycle.ts';
import type { GlobalOptions } from './context.ts';
import { answer } from './output.ts';
import { portOption } from './ports.ts';
import { runParts } from './running.ts';

interface Flags {
  readonly port: number;
  readonly directory: string;
}

export function kafkaCommand(program: Command): void {
  program
    .command('kafka')
    .description('run an Apache Kafka here, one broker on loopback (needs Java 17 and Maven)')
    .addOption(portOption('--port <port>', 'port of the broker', 9_092))
    .option('--directory <folder>', 'where its data is kept between runs', '.banyan/kafka')
    .action(async (flags: Flags, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      let address = '';
      const broker: Part = {
        name: 'kafka',
        run: async (signal, ready) => {
          const kafka = await startEmbeddedKafka({
            directory: path.resolve(flags.directory),
            ...(flags.port > 0 && { port: flags.port }),
          });
          const ended = new AbortController();
          void kafka.exited.then(() => {
            ended.abort();
          });
          ({ address } = kafka);
          ready();
          await aborted(AbortSignal.any([signal, ended.signal]));
          await kafka.stop();
          if (!signal.aborted)
            throw new BanyanError('EMBEDDED_KAFKA', 'Kafka ended by itself', {
              hint: `Its data is in ${flags.directory}; start it again, or remove that folder.`,
            });
        },
      };
      await runParts([broker], () => {
        answer(json, { ready: true, pid: process.pid, address }, `Kafka answers at ${address}`);
      });
    });
}
