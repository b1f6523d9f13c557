// A port for the figures of a process that serves nothing else: only where one is asked for.
import { Option, type Command } from 'commander';
import { metricsPart, type MetricsOptions } from '../core/metrics.ts';
import type { Part } from '../core/lifecycle.ts';
import type { Context } from './context.ts';
import { readPort } from './ports.ts';

export interface MetricsFlags {
  readonly metricsHost: string;
  readonly metricsPort?: number;
}

/** `whose`: of the flows, of all relays. */
export function withMetricsFlags(command: Command, whose: string): Command {
  return command
    .option('--metrics-host <host>', 'address of the figures', '127.0.0.1')
    .addOption(
      new Option(
        '--metrics-port <port>',
        `port of /metrics, the figures ${whose}; none where left out (0: a free one)`,
      ).argParser(readPort),
    );
}

export function metricsParts(
  { log }: Pick<Context, 'log'>,
  { metricsHost: host, metricsPort: port }: MetricsFlags,
  gather: MetricsOptions['gather'],
  onListening: (url: string) => void,
): Part[] {
  return port === undefined ? [] : [metricsPart({ host, port, gather, onListening, log })];
}
