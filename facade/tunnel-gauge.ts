// How many upgraded connections are open, by capability; the unclaimed ones have none.
import { Gauge, type Registry } from 'prom-client';

export function tunnelGauge(
  registry: Registry,
  capabilities: readonly string[],
  count: (capability: string | undefined) => number,
): void {
  new Gauge({
    name: 'banyan_tunnels',
    help: 'Upgraded connections that are open or being opened.',
    labelNames: ['capability'],
    registers: [registry],
    collect() {
      this.set({ capability: '' }, count(undefined));
      for (const one of capabilities) this.set({ capability: one }, count(one));
    },
  });
}
