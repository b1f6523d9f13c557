// Compares every mapped row of both sides while they are being written. A first pass over both sides
// (first-pass.ts) collects suspects; what is really wrong is settled around barriers (suspects.ts); on
// request it is read again from the owner (repair.ts).
import type pg from 'pg';
import { connect } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import type { Logins } from '../control/connections.ts';
import type { Capability } from '../control/definition.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { VerifyOutcome } from '../control/evidence.ts';
import { passBarriers, type Sides } from './barriers.ts';
import { compileEdges, resolveTable } from './domain/mapping.ts';
import { firstPass } from './first-pass.ts';
import { explain } from './refusal.ts';
import { repair } from './repair.ts';
import { readSchemas } from './schemas.ts';
import { sourceTable } from './source.ts';
import { settle, type Suspect, type VerifySample } from './suspects.ts';

export type { VerifySample } from './suspects.ts';

export interface VerifyOptions {
  readonly id: string;
  readonly capability: Capability;
  readonly monolith: Logins;
  readonly service: Logins;
  readonly onProgress?: (rows: number) => void;
  readonly chunkRows?: number;
  /** Has every row that is wrong read again from this side, which owns the data. */
  readonly repairFrom?: Owner;
}

const CHUNK_ROWS = 1_000;
const SAMPLES = 10;

/** Throws TIMED_OUT when a flow does not move, MOVE_NOT_ALLOWED when none runs. */
export async function verify(options: VerifyOptions): Promise<VerifyOutcome> {
  const opened: pg.Client[] = [];
  const open = async (url: string): Promise<pg.Client> => {
    const client = await connect(url, { applicationName: 'banyan-verify' });
    opened.push(client);
    return client;
  };
  try {
    const sides = {
      monolith: {
        read: await open(options.monolith.capture),
        write: await open(options.monolith.applier),
      },
      service: {
        read: await open(options.service.capture),
        write: await open(options.service.applier),
      },
    };
    return await compare(options, sides);
  } catch (error) {
    throw explain(error);
  } finally {
    for (const client of opened) await client.end().catch(() => undefined);
  }
}

async function compare(options: VerifyOptions, sides: Sides): Promise<VerifyOutcome> {
  const { id, capability, repairFrom } = options;
  const chunkRows = options.chunkRows ?? CHUNK_ROWS;
  const schemas = await readSchemas(capability, sides.monolith.read, sides.service.read);
  const edges = compileEdges(capability.tables.map(resolveTable), schemas, 'to', 'owner');
  const labels = [...new Set(edges.map((edge) => formatTable(edge.source)))];
  const tables = labels.map((label) => sourceTable(label, edges, schemas.monolith));
  await passBarriers(id, sides);
  let rows = 0;
  const suspects: Suspect[] = [];
  for (const table of tables) {
    const before = rows;
    const onProgress = (count: number): void => options.onProgress?.(before + count);
    const passed = await firstPass(table, { sides, chunkRows, onProgress });
    rows += passed.rows;
    suspects.push(...passed.suspects);
  }
  const { wrong, unsettled } = await settle(suspects, { capability: id, sides, chunkRows });
  if (repairFrom) await repair(id, repairFrom, sides, wrong, edges);
  const count = (kind: VerifySample['kind']): number =>
    wrong.filter((one) => one.kind === kind).length;
  return {
    capability: id,
    rows,
    missing: count('missing'),
    extra: count('extra'),
    different: count('different'),
    unsettled,
    samples: wrong.slice(0, SAMPLES),
  };
}
