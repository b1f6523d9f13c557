// A port of its own for a process that serves nothing else: GET /metrics, in Prometheus' text form. What is
// told is gathered when somebody asks; where that fails, they are told so.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { BanyanError, messageOf } from './errors.ts';
import { aborted, type Part } from './lifecycle.ts';
import type { Logger } from './log.ts';

export interface MetricsOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly gather: () => Promise<Registry>;
  readonly onListening: (url: string) => void;
  readonly log: Logger;
}

/** Throws CONFIG_INVALID where it cannot listen there. */
export function metricsPart(options: MetricsOptions): Part {
  const { host, port, onListening } = options;
  return {
    name: 'metrics',
    run: async (signal, ready) => {
      const server = createServer(({ method, url }, response) => {
        if (method === 'GET' && url?.split('?')[0] === '/metrics') void answer(options, response);
        else response.writeHead(404).end();
      });
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error) => {
          reject(
            new BanyanError(
              'CONFIG_INVALID',
              `cannot listen on ${host}:${port}: ${error.message}`,
              {
                hint: 'Name another port or address for the figures.',
                cause: error,
              },
            ),
          );
        });
        server.listen({ host, port }, resolve);
      });
      const { address, family, port: own } = server.address() as AddressInfo;
      onListening(`http://${family === 'IPv6' ? `[${address}]` : address}:${own}/metrics`);
      ready();
      await aborted(signal);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer({ gather, log }: MetricsOptions, response: ServerResponse): Promise<void> {
  try {
    const registry = await gather();
    const text = await registry.metrics();
    response.writeHead(200, { 'content-type': registry.contentType }).end(text);
  } catch (error) {
    log.warn('the figures could not be gathered', { error: messageOf(error) });
    response.writeHead(503).end();
  }
}
