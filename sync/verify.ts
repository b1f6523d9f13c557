// Compares every mapped row of both sides while they are being written. A first pass over both sides
// (first-pass.ts) collects suspects and keeps how far it has come; what is really wrong is settled
// around barriers (suspects.ts); on request it is read again from the owner (repair.ts).
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { BanyanError, messageOf } from '../core/errors.ts';
import { connect, isConnectionError } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { disconnect } from '../core/postgres/silence.ts';
import type { Logins } from '../control/connections.ts';
import type { Capability } from '../control/definition.ts';
import { mappedTable } from '../control/domain/mapped-table.ts';
import type { Owner } from '../control/domain/phase.ts';
import { mappingVersion } from '../control/mapping-version.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import type { VerifyRun, VerifyRuns, VerifyRunState } from '../control/verify-runs.ts';
import { passBarriers, type Sides } from './barriers.ts';
import { compileEdges } from './domain/compile.ts';
import type { Edge } from './domain/mapping.ts';
import { walksOf, type Walk } from './first-pass.ts';
import { explain } from './refusal.ts';
import { repair } from './repair.ts';
import { stayingColumns, touch } from './touch.ts';
import { readSchemas } from './schemas.ts';
import { sourceTable, type SourceTable } from './source.ts';
import { settle, type VerifySample } from './suspects.ts';
import { Progress, type VerifyProgress } from './verify-progress.ts';
import { WrongRows } from './wrong-rows.ts';

export type { VerifySample } from './suspects.ts';
export type { VerifyProgress } from './verify-progress.ts';

export interface VerifyOptions {
  readonly id: string;
  readonly capability: Capability;
  readonly monolith: Logins;
  readonly service: Logins;
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly chunkRows?: number;
  /** Differences that the outcome shows; all of them are counted. */
  readonly samples?: number;
  /** Has every row that is wrong read again from this side, which owns the data. */
  readonly repairFrom?: Owner;
  /** Where it is kept how far the verification has come; left out, none can go on with it. */
  readonly runs?: VerifyRuns;
  /** Goes on with what an earlier one has kept. `onAnew` hears why it cannot. */
  readonly resume?: { readonly onAnew: (why: string) => void };
  /** Ends it between two reads. */
  readonly signal?: AbortSignal;
}

const CHUNK_ROWS = 1_000;
const SAMPLES = 10;

/**
 * Throws TIMED_OUT when a flow does not move, MOVE_NOT_ALLOWED when none runs, INTERRUPTED when the
 * signal aborts, DATABASE_UNREACHABLE when a connection breaks.
 */
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
    return await new Verification(options, sides).run();
  } catch (error) {
    throw explain(error);
  } finally {
    for (const client of opened) await disconnect(client);
  }
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #sides: Sides;
  readonly #chunkRows: number;

  constructor(options: VerifyOptions, sides: Sides) {
    this.#options = options;
    this.#sides = sides;
    this.#chunkRows = options.chunkRows ?? CHUNK_ROWS;
  }

  async run(): Promise<VerifyOutcome> {
    const began = performance.now();
    const { id, capability, onProgress } = this.#options;
    const { monolith, service } = this.#sides;
    const schemas = await readSchemas(capability, monolith.read, service.read);
    const edges = compileEdges(
      capability.tables.map(mappedTable),
      { schemas, direction: 'to' },
      'owner',
    );
    const labels = [...new Set(edges.map((edge) => formatTable(edge.source)))];
    const tables = labels.map((label) => sourceTable(label, edges, schemas.monolith));
    const walks = tables.flatMap((table) =>
      walksOf(table, { sides: this.#sides, schemas, chunkRows: this.#chunkRows }),
    );
    let progress: Progress | undefined;
    try {
      await passBarriers(id, this.#sides);
      const { run, before } = await this.#begin(edges);
      progress = new Progress(walks, run, before, onProgress);
      for (const walk of walks) await this.#walk(walk, progress);
      // A code may have come since, and rows that have it.
      const refresh = (): Promise<void> =>
        schemas.references.load({ monolith: monolith.read, service: service.read });
      const staying = stayingColumns(capability, schemas.monolith);
      const found = await this.#settle(tables, edges, staying, progress, refresh);
      const outcome = { ...found, tookMs: Math.round(performance.now() - began) };
      await run?.finish();
      return outcome;
    } catch (error) {
      await progress?.save().catch(() => undefined);
      throw cutShort(error, this.#options, progress);
    }
  }

  async #walk(walk: Walk, progress: Progress): Promise<void> {
    const { cursor, done } = progress.stateOf(walk);
    if (done) return;
    for await (const finished of walk.from(cursor)) {
      progress.finished(walk, finished);
      this.#options.signal?.throwIfAborted();
    }
    await progress.save();
  }

  async #begin(
    edges: readonly Edge[],
  ): Promise<{ run?: VerifyRun; before?: VerifyRunState | undefined }> {
    const { id, capability, runs, resume } = this.#options;
    if (!runs) return {};
    // The mapping as it is written, and what became of it with the types of all its columns.
    const definition = createHash('sha256')
      .update(JSON.stringify([capability.tables, edges]))
      .digest('hex');
    if (resume) {
      const resumed = await runs.resume(id, definition);
      if (resumed.kind === 'resumed') return { run: resumed.run, before: resumed.state };
      resume.onAnew(resumed.why);
    }
    return { run: await runs.begin(id, definition) };
  }

  async #settle(
    tables: readonly SourceTable[],
    edges: readonly Edge[],
    staying: ReturnType<typeof stayingColumns>,
    progress: Progress,
    refresh: () => Promise<void>,
  ): Promise<VerifyOutcome> {
    const { id, repairFrom, signal, samples: most = SAMPLES } = this.#options;
    const counts = { missing: 0, extra: 0, different: 0 };
    const samples: VerifySample[] = [];
    const wrong = new WrongRows(repairFrom === 'service' ? staying : new Map());
    progress.settling();
    const unsettled = await settle(progress.suspects(tables), {
      ...{ capability: id, sides: this.#sides, chunkRows: this.#chunkRows, signal },
      refresh,
      onWrong: (sample) => {
        counts[sample.kind] += 1;
        if (samples.length < most) samples.push(sample);
        if (repairFrom) wrong.add(sample);
      },
    });
    if (repairFrom) {
      await touch(this.#sides.monolith.write, tables, wrong.touched);
      await repair(id, repairFrom, this.#sides, wrong.reread, edges);
    }
    const mapping = mappingVersion(this.#options.capability.tables);
    return { capability: id, rows: progress.rows, ...counts, unsettled, samples, mapping };
  }
}

/** What a verification that did not come to its end says: how far it came, and how to go on. */
function cutShort(error: unknown, options: VerifyOptions, progress: Progress | undefined): unknown {
  const share = progress?.share ?? null;
  const far = share === null ? '' : ` at ${Math.floor(share * 100)} %`;
  const hint = options.runs &&
    progress && {
      hint: `\`banyan verify ${options.id} --resume\` goes on from there.`,
    };
  if (options.signal?.aborted)
    return new BanyanError(
      'INTERRUPTED',
      `the verification of "${options.id}" was interrupted${far}`,
      { ...hint },
    );
  if (!isConnectionError(error)) return error;
  return new BanyanError(
    'DATABASE_UNREACHABLE',
    `the verification of "${options.id}" lost a connection${far}: ${messageOf(error)}`,
    { ...hint, cause: error },
  );
}
