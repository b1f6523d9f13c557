// The walk of `demo --auto`: monolith → sync → shadow → canary 10 → 50 → cutover → rollback → cutover
// → retired, under load all the way, and the figures that it gathers on the way.
import { request } from 'undici';
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import type { MoveRequest, MoveResult } from '../../control/coordinator.ts';
import type { GateResult } from '../../control/domain/gates.ts';
import { ownerOf, type Phase } from '../../control/domain/phase.ts';
import { Evidence } from '../../control/evidence.ts';
import { StateStore } from '../../control/store.ts';
import { verifyCapability } from '../verify.ts';
import { Ledger, type LedgerVerdict } from './ledger.ts';
import { startLoad, type Load, type LoadTargets } from './load.ts';
import type { DemoReport, SwitchPause } from './report.ts';
import type { Stage } from './stage.ts';

const CAPABILITY = 'catalog';
const DWELL_MS = 3_000;

export class Walk {
  readonly #stage: Stage;
  readonly #say: (line: string) => void;
  readonly #signal: AbortSignal;
  readonly #evidence: Evidence;
  readonly #ledger = new Ledger();
  readonly #started = performance.now();
  readonly #walked: string[] = ['monolith'];
  readonly #switches: SwitchPause[] = [];
  readonly #lag: Record<string, { p50Ms: number | null; p99Ms: number | null }> = {};
  #phase: Phase = 'monolith';
  #label = 'monolith';
  #load: Load | undefined;
  #repriced = '';
  #shadow = { samples: 0, mismatches: 0, dropped: 0 };
  #verify = { runs: 0, rows: 0, wrong: 0 };
  #batch: { accepted: number; refused: number; refusal: string | null } = {
    accepted: 0,
    refused: 0,
    refusal: null,
  };
  #verdict: LedgerVerdict = { acknowledged: 0, checked: 0, lost: [], doubled: [] };

  constructor(stage: Stage, say: (line: string) => void, signal: AbortSignal) {
    this.#stage = stage;
    this.#say = say;
    this.#signal = signal;
    this.#evidence = new Evidence(stage.context.db);
  }

  /** Starts the load; `auto` or `follow` comes next, then `end` and `report`. */
  async begin(): Promise<void> {
    const shop = await connect(this.#stage.shopDatabase, { applicationName: 'banyan-demo' });
    try {
      await this.#ledger.open(shop);
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
      this.#load = startLoad(targets, this.#ledger, () => this.#label);
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
    await this.#dwell();
    await this.#verifyNow();
    await this.#move({ event: 'advance' });
    await this.#dwell();
    await this.#verifyNow();
    await this.#move({ event: 'advance' });
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
        this.#walked.push(label);
        this.#phase = state.phase;
        this.#label = label;
      }
      if (state.phase === 'shadow') await this.#noteShadow();
      await Promise.race([sleep(300, this.#signal), this.#stage.failed]);
    }
  }

  /** Stops the load and looks everything up. */
  async end(): Promise<void> {
    await this.#load?.stop();
    this.#load = undefined;
    await this.#noteLag();
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
      this.#verdict = await this.#ledger.close(shop, synced ? catalog : undefined);
    } finally {
      await shop.end();
      await catalog.end();
    }
  }

  async report(error: Error | undefined): Promise<DemoReport> {
    const { lost, doubled, acknowledged, checked } = this.#verdict;
    const failed = this.#ledger.failures.length;
    const ok =
      error === undefined &&
      failed === 0 &&
      lost.length === 0 &&
      doubled.length === 0 &&
      this.#verify.wrong === 0;
    return {
      ok,
      error: error?.message ?? null,
      seconds: (performance.now() - this.#started) / 1000,
      walked: this.#walked,
      requests: {
        total: this.#ledger.requests,
        byPath: await requestsByPath(this.#stage.adminUrl).catch(() => ({})),
        failed,
        failures: this.#ledger.failures.slice(0, 20),
      },
      writes: {
        acknowledged,
        checked,
        lost: lost.length,
        doubled: doubled.length,
        examples: [...lost, ...doubled].slice(0, 20),
      },
      shadow: this.#shadow,
      syncLag: this.#lag,
      switches: this.#switches,
      verify: this.#verify,
      ordersByPhase: this.#ledger.ordersByPhase(),
      batch: this.#batch,
    };
  }

  /** Moves as soon as the gates have enough evidence; a gate that fails is not waited for. */
  async #move(request: Pick<MoveRequest, 'event' | 'weight'>, waitingFor?: string): Promise<void> {
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
    this.#walked.push(request.event === 'rollback' ? `rollback (${this.#label})` : this.#label);
    let line = `${result.from} → ${this.#label}`;
    if (result.pauseMs !== undefined) {
      await sleep(300, this.#signal);
      const slowestWriteMs = this.#load?.takeWriteTimes()[0] ?? 0;
      this.#switches.push({
        move: `${result.from} → ${result.to}`,
        pauseMs: result.pauseMs,
        slowestWriteMs,
      });
      line += `, writes paused for ${result.pauseMs} ms`;
    }
    this.#say(line);
  }

  async #tryMove(request: Pick<MoveRequest, 'event' | 'weight'>): Promise<MoveResult | undefined> {
    this.#signal.throwIfAborted();
    if (this.#phase === 'shadow') await this.#noteShadow();
    await this.#noteLag();
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
    if (owner === 'monolith' && code === 0) this.#batch.accepted += 1;
    else if (owner === 'service' && code === 1 && output.startsWith('BN001')) {
      this.#batch.refused += 1;
      this.#batch.refusal ??= output;
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
    this.#batch.accepted += 1;
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
    const { runs, rows: before, wrong: wrongBefore } = this.#verify;
    this.#verify = { runs: runs + 1, rows: before + rows, wrong: wrongBefore + wrong };
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

  async #noteShadow(): Promise<void> {
    const { samples } = await this.#evidence.shadow(CAPABILITY);
    const total = (field: 'compared' | 'mismatched' | 'dropped'): number =>
      samples.reduce((sum, one) => sum + one[field], 0);
    this.#shadow = {
      samples: total('compared'),
      mismatches: total('mismatched'),
      dropped: total('dropped'),
    };
  }

  async #noteLag(): Promise<void> {
    for (const flow of await this.#evidence.flows(CAPABILITY))
      if (flow.lagP50Ms !== null)
        this.#lag[`sync ${flow.direction}`] = { p50Ms: flow.lagP50Ms, p99Ms: flow.lagP99Ms };
  }
}

function labelOf(phase: Phase, weight: number): string {
  return phase === 'canary' ? `canary ${weight}` : phase;
}

/** The facade's own counters. */
async function requestsByPath(adminUrl: string): Promise<Record<string, number>> {
  const { body } = await request(`${adminUrl}/metrics`);
  const counts: Record<string, number> = {};
  for (const line of (await body.text()).split('\n')) {
    const match = /^banyan_requests_total\{(.*)\} (\d+)$/.exec(line);
    const path = match && /path="([^"]+)"/.exec(match[1] ?? '')?.[1];
    if (match && path) counts[path] = (counts[path] ?? 0) + Number(match[2]);
  }
  return counts;
}
