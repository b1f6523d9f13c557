// The walk of `demo --auto`: monolith → sync → shadow → canary 10 → 50 → cutover → rollback → cutover
// → retired, under load all the way, and the figures that it gathers on the way.
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import type { MoveRequest, MoveResult } from '../../control/domain/move.ts';
import type { GateResult } from '../../control/domain/gates.ts';
import { ownerOf, type Phase } from '../../control/domain/phase.ts';
import { Evidence } from '../../control/evidence.ts';
import { StateStore } from '../../control/store.ts';
import { verifyCapability } from '../verify.ts';
import { Figures } from './figures.ts';
import { Ledger } from './ledger.ts';
import { startLoad, type Load, type LoadTargets } from './load.ts';
import type { Stage } from './stage.ts';

const CAPABILITY = 'catalog';
const DWELL_MS = 3_000;

export class Walk {
  readonly #stage: Stage;
  readonly #say: (line: string) => void;
  readonly #signal: AbortSignal;
  readonly #evidence: Evidence;
  readonly figures: Figures;
  readonly ledger = new Ledger();
  #phase: Phase = 'monolith';
  #label = 'monolith';
  #load: Load | undefined;
  #repriced = '';
  constructor(stage: Stage, say: (line: string) => void, signal: AbortSignal) {
    this.#stage = stage;
    this.#say = say;
    this.#signal = signal;
    this.#evidence = new Evidence(stage.context.db);
    this.figures = new Figures(stage, CAPABILITY);
  }

  /** Starts the load; `auto` or `follow` comes next, then `end` and `report`. */
  async begin(): Promise<void> {
    const shop = await connect(this.#stage.shopDatabase, { applicationName: 'banyan-demo' });
    try {
      await this.ledger.open(shop);
      const numbers = async (text: string): Promise<number[]> =>
        (await shop.query<{ id: string }>(text)).rows.map((row) => Number(row.id));
      // The batch job has a category of its own, or it would change prices that the ledger knows.
      const batch = await shop.query<{ code: string; id: string }>(
        `SELECT c.cat_cd AS code, c.cat_id AS id FROM prdcat c JOIN prd USING (cat_id) GROUP BY 1, 2 ORDER BY count(*), 2 LIMIT 1`,
      );
      this.#repriced = batch.rows[0]?.code ?? '';
      const others = `FROM prd WHERE sts = 'A' AND cur = 'EUR' AND cat_id <> ${batch.rows[0]?.id ?? '0'}`;
      const targets: LoadTargets = {
        facadeUrl: this.#stage.facadeUrl,
        writable: await numbers(`SELECT prd_id AS id ${others} AND prd_id % 2 = 0 ORDER BY 1`),
        buyable: await numbers(
          `SELECT prd_id AS id ${others} AND prd_id % 2 = 1 AND stk_qty > 200 ORDER BY 1`,
        ),
        categories: await numbers(
          `SELECT cat_id AS id FROM prdcat WHERE cat_cd <> '${this.#repriced}' ORDER BY 1`,
        ),
        customers: await numbers(
          `SELECT cust_id AS id FROM cust WHERE sts = 'A' ORDER BY 1 LIMIT 500`,
        ),
      };
      this.#load = startLoad(targets, this.ledger, () => this.#label);
    } finally {
      await shop.end();
    }
  }

  async auto(): Promise<void> {
    await this.#dwell();
    await this.#batchJob();
    await this.#move({ event: 'advance' });
    await this.#batchJob();
    await this.#move({ event: 'advance' }, 'the copy');
    await this.#dwell();
    await this.#move({ event: 'advance', weight: 10 }, 'shadow samples');
    await this.#dwell();
    await this.#move({ event: 'weight', weight: 50 });
    await this.#dwell();
    await this.#verifyNow();
    await this.#move({ event: 'advance' }, 'sync back');
    await this.#batchJob();
    await this.#dwell();
    await this.#move({ event: 'rollback' }, 'sync back');
    await this.#batchJob();
    await this.#move({ event: 'weight', weight: 50 });
    await this.#dwell();
    await this.#verifyNow();
    await this.#move({ event: 'advance' }, 'answers of the service');
    await this.#dwell();
    await this.#verifyNow();
    await this.#move({ event: 'advance', to: 'retired' });
    await this.#batchJob();
    await this.#dwell();
  }

  /** Somebody else moves the capability, from another terminal: says so, until the signal aborts. */
  async follow(): Promise<void> {
    const store = new StateStore(this.#stage.context.db);
    while (!this.#signal.aborted) {
      const state = await store.readOne(CAPABILITY);
      const label = labelOf(state.phase, state.weight);
      if (label !== this.#label) {
        this.#say(`${this.#label} → ${label}`);
        this.figures.walked.push(label);
        this.#phase = state.phase;
        this.#label = label;
      }
      if (state.phase === 'shadow') await this.figures.noteShadow();
      await Promise.race([sleep(300, this.#signal), this.#stage.failed]);
    }
  }

  /** Stops the load and looks everything up. */
  async end(): Promise<void> {
    await this.#load?.stop();
    this.#load = undefined;
    await this.figures.noteLag();
    const synced = this.#phase !== 'monolith';
    if (synced) {
      await this.#copied();
      // Its barriers also wait until both flows have drained.
      await this.#verified();
    }
    const session = { applicationName: 'banyan-demo' };
    const shop = await connect(this.#stage.shopDatabase, session);
    const catalog = await connect(this.#stage.catalogDatabase, session);
    try {
      this.figures.verdict = await this.ledger.close(shop, synced ? catalog : undefined);
    } finally {
      await shop.end();
      await catalog.end();
    }
  }

  /** Moves as soon as the gates have enough evidence; a gate that fails is not waited for. */
  async #move(
    request: Pick<MoveRequest, 'event' | 'weight' | 'to'>,
    waitingFor?: string,
  ): Promise<void> {
    if (waitingFor !== undefined) this.#say(`  waiting for ${waitingFor}`);
    this.#load?.takeWriteTimes();
    const result = await waitFor(() => this.#tryMove(request), {
      timeoutMs: 40_000,
      everyMs: 300,
      signal: this.#signal,
      what: waitingFor ?? 'the gates',
    });
    this.#phase = result.to;
    this.#label = labelOf(result.to, result.weight);
    this.figures.walked.push(
      request.event === 'rollback' ? `rollback (${this.#label})` : this.#label,
    );
    let line = `${result.from} → ${this.#label}`;
    if (result.pauseMs !== undefined) {
      await sleep(300, this.#signal);
      const slowestWriteMs = this.#load?.takeWriteTimes()[0] ?? 0;
      this.figures.switches.push({
        move: `${result.from} → ${result.to}`,
        pauseMs: result.pauseMs,
        slowestWriteMs,
      });
      line += `, writes paused for ${result.pauseMs} ms`;
    }
    this.#say(line);
  }

  async #tryMove(
    request: Pick<MoveRequest, 'event' | 'weight' | 'to'>,
  ): Promise<MoveResult | undefined> {
    this.#signal.throwIfAborted();
    if (this.#phase === 'shadow') await this.figures.noteShadow();
    await this.figures.noteLag();
    try {
      return await this.#stage.context
        .coordinator()
        .move({ capability: CAPABILITY, why: 'demo', ...request });
    } catch (error) {
      const gates = isBanyanError(error, 'GATE_REFUSED')
        ? (error.details as { gates?: GateResult[] } | undefined)?.gates
        : undefined;
      if (gates && gates.every((gate) => gate.verdict !== 'fail')) return undefined;
      throw error;
    }
  }

  async #dwell(): Promise<void> {
    await Promise.race([sleep(DWELL_MS, this.#signal), this.#stage.failed]);
    this.#signal.throwIfAborted();
  }

  /** A price job straight on the shop's database: welcome while the monolith owns, refused when it does not. */
  async #batchJob(): Promise<void> {
    const owner = ownerOf(this.#phase);
    const { code, output } = await this.#stage.batch('reprice', [
      '--category',
      this.#repriced,
      '--percent',
      '1',
    ]);
    if (owner === 'monolith' && code === 0) this.figures.batch.accepted += 1;
    else if (owner === 'service' && code === 1 && output.startsWith('BN001')) {
      this.figures.batch.refused += 1;
      this.figures.batch.refusal ??= output;
      this.#say(`  batch job refused: ${output}`);
    } else
      throw new BanyanError(
        'DEMO_FAILED',
        `the batch job ended with ${code} while the ${owner} owned: ${output}`,
      );
    // What stays with the monolith is its own to write, whoever owns the rest.
    const restock = await this.#stage.batch('restock', []);
    if (restock.code !== 0)
      throw new BanyanError('DEMO_FAILED', `restocking failed: ${restock.output}`);
    this.figures.batch.accepted += 1;
  }

  async #verifyNow(): Promise<void> {
    const { samples, wrong } = await this.#verified();
    if (wrong > 0)
      throw new BanyanError(
        'VERIFY_DIFFERENT',
        `verify found ${wrong} rows that differ: ${JSON.stringify(samples[0])}`,
        { details: samples },
      );
  }

  async #verified(): Promise<{ samples: readonly unknown[]; wrong: number }> {
    const { rows, missing, extra, different, samples } = await verifyCapability(
      this.#stage.context,
      CAPABILITY,
    );
    const wrong = missing + extra + different;
    const { runs, rows: before, wrong: wrongBefore } = this.figures.verify;
    this.figures.verify = { runs: runs + 1, rows: before + rows, wrong: wrongBefore + wrong };
    this.#say(`  verified ${rows} rows: ${wrong} wrong`);
    return { samples, wrong };
  }

  async #copied(): Promise<void> {
    await waitFor(
      async () =>
        (await this.#evidence.flows(CAPABILITY)).some(
          (flow) => flow.direction === 'to' && flow.status === 'streaming',
        ),
      { timeoutMs: 60_000, everyMs: 200, what: 'the copy to be complete' },
    );
  }
}

function labelOf(phase: Phase, weight: number): string {
  return phase === 'canary' ? `canary ${weight}` : phase;
}
