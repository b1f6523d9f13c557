// One schedule: random transactions on both sides, the flows between them taken step by step, crashes,
// restarts, refusals, switches of the owner; in the end everything is let through, and both sides must
// show what was written, each change once. The same seed gives the same schedule.
import { BanyanError, messageOf } from '../../../core/errors.ts';
import { waitFor } from '../../../core/lifecycle.ts';
import type { Direction } from '../../../control/domain/flow.ts';
import { Dice } from './dice.ts';
import { FAILPOINTS, type Failpoint } from './failpoints.ts';
import { History } from './history.ts';
import { Ledger } from './ledger.ts';
import { Life } from './life.ts';
import { compare, leftOver } from './outcome.ts';
import { Owner } from './owner.ts';
import { mend, refuseBad } from './refusals.ts';
import type { SideName } from './shop.ts';
import type { Side } from './side.ts';
import { COPYING, STEPS } from './steps.ts';
import { Truth } from './truth.ts';
import type { World } from './world.ts';
import { Writes } from './writes.ts';

const DIRECTIONS: readonly Direction[] = ['to', 'back'];
const CRASHES = 0.3;
/** Beyond this a flow does not come to its end. */
const PATIENCE = 400;

export class Schedule {
  /** What was done, to read. */
  readonly steps: string[] = [];
  readonly struck = new Map<Failpoint, number>();
  readonly #world: World;
  readonly #seed: number;
  #dice: Dice;
  readonly #clock = { now: 0 };
  readonly #truth = new Truth();
  readonly #ledgers = { to: new Ledger(), back: new Ledger() };
  readonly #writes: Readonly<Record<SideName, Writes>>;
  readonly #lives = new Map<Direction, Life>();
  #copies = false;
  readonly #owner: Owner;
  #runs = 0;
  #isEnding = false;

  constructor(world: World, seed: number) {
    this.#world = world;
    this.#seed = seed;
    this.#dice = new Dice(seed);
    this.#owner = new Owner(
      world,
      () => this.#dice,
      (step) => this.steps.push(step),
    );
    const { monolith, service } = world.sides;
    const writes = (side: Side): Writes =>
      new Writes(side, this.#dice, this.#clock, world.deferred);
    this.#writes = { monolith: writes(monolith), service: writes(service) };
  }

  /** Runs it, or its first steps only. Throws what went wrong. */
  async run(limit = Number.POSITIVE_INFINITY): Promise<void> {
    const dice = this.#dice;
    try {
      await this.#begin();
      const count = 12 + dice.pick(this.#copies ? 70 : 30);
      for (let step = 0; step < Math.min(count, limit); step++) await this.#step();
      this.steps.push('— the end: everything is let through —');
      await this.#finish();
    } finally {
      for (const direction of DIRECTIONS) await this.#end(direction);
    }
  }

  async #begin(): Promise<void> {
    const { monolith, service } = this.#world.sides;
    const checkpoint = (direction: Direction, mode: string): string =>
      `INSERT INTO banyan.checkpoint VALUES ('sim:${direction}', 1, '0/0', 0, '${mode}', 0)`;
    await monolith.reset(this.#dice, checkpoint('back', 'guest'));
    await service.reset(this.#dice, checkpoint('to', 'owner'));
    this.#copies = this.#dice.chance(0.4);
    if (this.#copies) {
      this.#writes.service.reuses = true;
      for (let count = this.#dice.pick(14); count > 0; count--) await this.#write('monolith');
      for (let count = this.#dice.pick(10); count > 0; count--) {
        const { statements } = this.#writes.service.own();
        if (statements.length > 0) await service.write(statements);
      }
      this.#writes.service.reuses = false;
      // What was there before the flow began is in no log.
      for (const side of [monolith, service]) {
        side.appear();
        side.history = new History(this.#dice);
      }
      // Sometimes an earlier life has pruned already.
      if (this.#dice.chance(0.5)) await this.#pruned();
    } else if (this.#dice.chance(0.4)) {
      this.#owner.beginAtService();
    }
    if (this.#dice.chance(0.35)) await this.#refuse(true);
    this.steps.push(
      `${this.#copies ? 'tables are copied' : 'nothing to copy'}; ${this.#owner.side} owns; constraints are ${this.#world.deferred ? 'deferred' : 'immediate'}`,
    );
  }

  /** Nothing is in the target; an earlier life has found that out. */
  async #pruned(): Promise<void> {
    const { service } = this.#world.sides;
    const tables = Object.keys(service.tables.tables);
    await service.client.query(
      `SET session_replication_role = replica; ${tables.map((table) => `DELETE FROM ${table}`).join(';')};
       SET session_replication_role = origin;
       INSERT INTO banyan.backfill (flow, source_table, stage)
         SELECT 'sim:to', t, 'copy' FROM unnest('{${this.#world.flows.to.plan.sourceOrder.join()}}'::text[]) t`,
    );
    for (const rows of service.rows.values()) rows.clear();
  }

  async #step(): Promise<void> {
    const dice = this.#dice;
    const isCopying = this.#copies && (this.#lives.get('to')?.copying.running ?? true);
    const step = dice.weighted(isCopying ? COPYING : STEPS);
    const [verb, what] = step.split(' ') as [string, string | undefined];
    switch (verb) {
      case 'write':
        await this.#write(what as SideName);
        break;
      case 'restart':
        this.steps.push(step);
        await this.#end(what as Direction);
        break;
      case 'switch':
        if (!this.#owner.isSwitching && !isCopying) this.#owner.beginSwitch();
        break;
      case 'message':
        this.#owner.noise();
        break;
      case 'appear':
        for (const side of Object.values(this.#world.sides)) side.appear();
        break;
      case 'review':
        await this.#world.sides.service.client.query(
          'INSERT INTO review SELECT id FROM product ORDER BY id LIMIT 1 ON CONFLICT DO NOTHING',
        );
        this.steps.push('a review keeps a product');
        break;
      case 'refuse':
        await this.#refuse(dice.chance(0.5));
        break;
      default: {
        const at = dice.chance(CRASHES) ? dice.one(FAILPOINTS) : undefined;
        await this.#flow(what as Direction, verb as 'stream', at, dice.one([1, 1, 1, 2, 3, 6]));
      }
    }
    await this.#owner.endSwitch();
  }

  async #write(name: SideName): Promise<void> {
    const isOwner = this.#owner.side === name && !this.#owner.isSwitching;
    // All rows that go at once take along what is parked of them.
    const life = this.#lives.get(name === 'monolith' ? 'to' : 'back');
    const isParked = life !== undefined && !life.parking.empty;
    const only = isParked && this.#dice.chance(0.15) ? 'truncate' : undefined;
    const { what, statements } = isOwner
      ? this.#writes[name].own(only)
      : this.#writes[name].guest();
    if (statements.length === 0) return;
    const side = this.#world.sides[name];
    const notes = await side.write(statements);
    this.steps.push(
      `${name} writes (${what})${notes ? '' : ', which a constraint refuses'}:\n      ${statements.join(';\n      ')}`,
    );
    if (notes) this.#truth.took(side, notes, this.#owner.side);
  }

  async #refuse(is: boolean): Promise<void> {
    this.steps.push(is ? 'appliers are refused rows named bad' : 'appliers are refused nothing');
    await refuseBad(this.#world, is);
  }

  async #mend(): Promise<void> {
    this.steps.push('whatever refused changes is mended');
    await mend(this.#world);
  }

  async #flow(
    direction: Direction,
    verb: 'stream' | 'source' | 'copy' | 'letters',
    at: Failpoint | undefined,
    upTo: number,
  ): Promise<void> {
    const { into, names } = this.#world.flows[direction];
    const life = await this.#alive(direction);
    const isIdle = {
      stream: life.drained,
      source: !life.source.waits,
      copy: !life.copying.running,
    };
    if (verb !== 'letters' && isIdle[verb]) return;
    const ledger = this.#ledgers[direction];
    if (life.copying.running) ledger.isLoose = true;
    const { commits } = life;
    let stopped: unknown;
    try {
      if (verb === 'stream') await life.stream(upTo, at);
      else await life.beside(verb, at);
    } catch (error) {
      stopped = error;
    }
    const { crashed } = life;
    if (!this.#isEnding)
      this.steps.push(
        `${verb} ${direction}${verb === 'stream' ? ` (${upTo})` : ''}${crashed ? `: crash ${crashed}` : ''}`,
      );
    if (crashed !== undefined) {
      this.struck.set(crashed, (this.struck.get(crashed) ?? 0) + 1);
      await this.#end(direction);
    }
    if (life.copying.running) ledger.isLoose = true;
    if (life.commits > commits || crashed !== undefined)
      ledger.took(await into.collect(names.origin), (table, row) => into.keyOf(table, row));
    if (stopped !== undefined) await this.#stop(direction, stopped);
  }

  /** A truncate cannot be parked: the flow stops until what refuses it is mended. */
  async #stop(direction: Direction, error: unknown): Promise<void> {
    const { rows } = await this.#world.sides.service.client.query('SELECT FROM review');
    const isRefused = error instanceof BanyanError && error.code === 'FLOW_STOPPED';
    if (!isRefused || rows.length === 0) throw error as Error;
    this.steps.push(`${direction} stops: ${messageOf(error)}`);
    await this.#mend();
    await this.#end(direction);
  }

  async #alive(direction: Direction): Promise<Life> {
    const living = this.#lives.get(direction);
    if (living) return living;
    const { sessions, flows } = this.#world;
    const life = await Life.begin({
      ...flows[direction],
      dice: this.#dice,
      run: `run ${++this.#runs}`,
      session: sessions.get(direction),
      copies: this.#copies && direction === 'to',
    });
    this.#lives.set(direction, life);
    sessions.set(direction, life.target);
    await life.quiet();
    return life;
  }

  async #end(direction: Direction): Promise<void> {
    const life = this.#lives.get(direction);
    if (!life) return;
    this.#lives.delete(direction);
    const session = await life.end();
    if (session) return;
    this.#world.sessions.delete(direction);
    // The server may still be at work for a session that is lost.
    const { processID } = life.target.client as unknown as { processID: number };
    const { client } = this.#world.flows[direction].into;
    await waitFor(
      async () =>
        (await client.query('SELECT FROM pg_stat_get_activity($1)', [processID])).rows.length === 0,
      { timeoutMs: 30_000, everyMs: 1, what: 'a lost session to end' },
    );
  }

  async #finish(): Promise<void> {
    this.#isEnding = true;
    this.#dice = new Dice(this.#seed ^ 0x5eed);
    await this.#mend();
    for (let round = 0; ; round++) {
      if (round > PATIENCE)
        throw new Error(`does not come to an end: ${await leftOver(this.#world)}`);
      let isDone = true;
      for (const side of Object.values(this.#world.sides)) side.appear();
      for (const direction of DIRECTIONS) {
        const life = await this.#alive(direction);
        await this.#flow(direction, 'stream', undefined, 20);
        if (life.source.waits) await this.#flow(direction, 'source', undefined, 0);
        else if (life.copying.running) await this.#flow(direction, 'copy', undefined, 0);
        if (!life.parking.empty) {
          await this.#world.flows[direction].into.client.query(
            'UPDATE banyan.parked SET retry = true',
          );
          await this.#flow(direction, 'letters', undefined, 0);
        }
        if (!life.drained || life.source.waits || life.copying.running || !life.parking.empty)
          isDone = false;
      }
      await this.#owner.endSwitch();
      const isDrained = DIRECTIONS.every((direction) => this.#lives.get(direction)?.drained);
      if (isDone && isDrained && !this.#owner.isSwitching) break;
    }
    await compare(this.#world, this.#truth, this.#copies);
  }
}
