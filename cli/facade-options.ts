// What the command line and the definition say of an edge, in one process or several.
import type { FacadeOptions } from '../facade/index.ts';
import type { Context } from './context.ts';

export interface FacadeFlags {
  readonly host: string;
  readonly port: number;
  readonly adminHost: string;
  readonly adminPort: number;
}

/** For the engine of a facade, in whichever process. */
export function engineOptions({
  migration,
  connections,
  controlUrl,
  log,
}: Pick<Context, 'migration' | 'connections' | 'controlUrl' | 'log'>): FacadeOptions {
  return {
    migration,
    upstreams: {
      monolith: connections.monolith.upstream,
      services: Object.fromEntries(
        Object.entries(connections.services).map(([name, side]) => [name, side.upstream]),
      ),
    },
    controlUrl,
    log,
  };
}
