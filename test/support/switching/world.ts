// All of it as it would run: a monolith and a service on servers of their own, sync, two facades, and the
// command line as coordinator, each a process that can be killed; clients that never stop.
import { sqlState, withClient } from '../../../core/postgres/connect.ts';
import { messageOf } from '../../../core/errors.ts';
import { waitFor } from '../../../core/lifecycle.ts';
import type { Owner, Phase } from '../../../control/domain/phase.ts';
import { startBanyan, writeConfig, type Running } from '../command.ts';
import { createPair, SESSION, type Pair } from '../pair.ts';
import { ownServer, type OwnServer } from '../servers.ts';
import { SHELF, startApp, type App } from './apps.ts';
import { startClients, type ClientOptions, type Clients } from './clients.ts';
import { keepHistory } from './history.ts';
import { settled, type Settled } from './settled.ts';
import { Stops } from './stop-at.ts';

export const VICTIMS = ['coordinator', 'facade', 'sync', 'monolith', 'service'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface WorldOptions extends Partial<Omit<ClientOptions, 'urls'>> {
  /** Under `facade` in the definition. */
  readonly facade?: Record<string, unknown>;
  /** Environment of each process, by its part and number. */
  readonly environment?: (
    part: 'sync' | 'facade' | 'coordinator',
    nth: number,
  ) => Record<string, string>;
}

/** A machine that is busy with other tests sheds nothing here. */
const PATIENT = {
  ...{ timeoutMs: 30_000, hold: { timeoutMs: 30_000 }, breaker: false, shedding: false },
};

export class World {
  readonly pair: Pair;
  readonly apps: Readonly<Record<Owner, App>>;
  readonly urls: Readonly<Record<Owner, string>>;
  readonly stops: Stops;
  readonly facades: Running[] = [];
  clients: Clients | undefined;
  readonly #servers: Readonly<Record<Owner, OwnServer>>;
  readonly #config: ReturnType<typeof writeConfig>;
  readonly #options: WorldOptions;
  #sync: Running | undefined;
  #facadeUrls: string[] = [];
  #started = 0;

  private constructor(
    parts: Pick<World, 'pair' | 'apps' | 'urls' | 'stops'>,
    servers: Readonly<Record<Owner, OwnServer>>,
    config: ReturnType<typeof writeConfig>,
    options: WorldOptions,
  ) {
    this.pair = parts.pair;
    this.apps = parts.apps;
    this.urls = parts.urls;
    this.stops = parts.stops;
    this.#servers = servers;
    this.#config = config;
    this.#options = options;
  }

  /** Everything runs, the capability is in `canary` with both flows on, and clients have begun. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const servers = { monolith: await ownServer(), service: await ownServer() };
    await Promise.all([servers.monolith.start(), servers.service.start()]);
    const pair = await createPair({
      ...SHELF,
      servers: { monolith: servers.monolith.url(), service: servers.service.url() },
    });
    const urls = {
      monolith: servers.monolith.url(new URL(pair.monolithAppUrl).pathname.slice(1)),
      service: servers.service.url(new URL(pair.serviceAppUrl).pathname.slice(1)),
    };
    const apps = {
      monolith: await startApp('monolith', pair.monolithAppUrl),
      service: await startApp('service', pair.serviceAppUrl),
    };
    const { monolith, services } = pair.connections;
    const config = writeConfig({
      ...pair.migration,
      control: pair.controlUrl,
      monolith: { ...monolith, upstream: apps.monolith.url },
      services: { catalog: { ...services['catalog'], upstream: apps.service.url } },
      facade: { ...PATIENT, ...options.facade },
    });
    const stops = await Stops.open(pair.db, pair.controlUrl);
    const world = new World({ pair, apps, urls, stops }, servers, config, options);
    try {
      await world.#begin();
      return world;
    } catch (error) {
      const said = world.#sync?.stderr() ?? '';
      await world.close();
      throw new Error(`${messageOf(error)}; sync said: ${said}`, { cause: error });
    }
  }

  async #begin(): Promise<void> {
    await Promise.all([this.#startFacade(0), this.#startFacade(1)]);
    await this.#move('advance', 'sync');
    this.#startSync();
    await this.flowing('to');
    await this.#move('advance', 'shadow');
    await this.flowing('to');
    await this.#move('advance', 'canary');
    await this.flowing('to', 'back');
    await keepHistory(this.pair.monolith, 'monolith');
    await keepHistory(this.pair.service, 'service');
    const {
      writesPerSecond = 40,
      readsPerSecond = 40,
      retries = false,
      atMost = 24,
    } = this.#options;
    this.clients = startClients({
      urls: () => this.#facadeUrls,
      ...{ writesPerSecond, readsPerSecond, retries, atMost },
    });
  }

  async #move(event: 'advance' | 'rollback', to: Phase): Promise<void> {
    await this.pair.coordinator().move({ capability: 'catalog', event, to });
  }

  async flowing(...directions: readonly ('to' | 'back')[]): Promise<void> {
    const { evidence } = this.pair;
    const since = await evidence.now();
    await waitFor(
      async () => {
        const flows = await evidence.flows('catalog');
        return directions.every((direction) =>
          flows.some(
            (flow) =>
              flow.direction === direction &&
              flow.status === 'streaming' &&
              flow.watermark !== null &&
              new Date(flow.watermark) >= since,
          ),
        );
      },
      { timeoutMs: 60_000, what: `flow ${directions.join(' and ')} to stream` },
    );
  }

  async phase(): Promise<Phase> {
    return (await this.pair.store.readOne('catalog')).phase;
  }

  /** The gates of the move between `canary` and `cutover` have what they ask for. */
  async ready(): Promise<void> {
    await this.flowing('to', 'back');
    await this.pair.evidence.addVerify({
      ...{ capability: 'catalog', rows: 1, missing: 0, extra: 0, different: 0, unsettled: 0 },
      samples: [],
    });
  }

  /** Starts `banyan advance` or `banyan rollback`, whichever leads there. */
  command(to: 'canary' | 'cutover', nth = 0): Running {
    const move = to === 'cutover' ? 'advance' : 'rollback';
    return this.#banyan('coordinator', nth, [move, 'catalog', '--to', to]);
  }

  #banyan(part: 'sync' | 'facade' | 'coordinator', nth: number, args: readonly string[]): Running {
    return startBanyan(
      ['--config', this.#config.file, '--json', '--log-level', 'warn', ...args],
      this.#options.environment?.(part, nth) ?? {},
    );
  }

  #startSync(): void {
    this.#sync = this.#banyan('sync', 0, ['sync']);
  }

  async #startFacade(nth: number): Promise<void> {
    const facade = this.#banyan('facade', nth, ['facade', '--port', '0', '--admin-port', '0']);
    this.facades[nth] = facade;
    await facade.says('"ready"', 120_000);
    this.#facadeUrls[nth] = (JSON.parse(facade.stdout()) as { url: string }).url;
  }

  /** kill -9, and a new one of it at once. */
  async kill(victim: Victim, coordinator: Running): Promise<void> {
    switch (victim) {
      case 'coordinator':
        coordinator.child.kill('SIGKILL');
        await coordinator.exited;
        break;
      case 'facade': {
        const nth = this.#started++ % 2;
        const facade = this.facades[nth];
        // Clients find the one that is left, as behind a balancer.
        this.#facadeUrls[nth] = this.#facadeUrls[1 - nth] ?? '';
        facade?.child.kill('SIGKILL');
        await facade?.exited;
        await this.#startFacade(nth);
        break;
      }
      case 'sync':
        this.#sync?.child.kill('SIGKILL');
        await this.#sync?.exited;
        this.#startSync();
        break;
      case 'monolith':
      case 'service':
        await this.#servers[victim].kill();
        await this.#servers[victim].start();
    }
  }

  /** Both flows stand still from here on, as long as it is not woken. */
  stopSync(): void {
    this.#sync?.child.kill('SIGSTOP');
  }

  wakeSync(): void {
    this.#sync?.child.kill('SIGCONT');
  }

  /** Where the facades listen now. */
  facadeUrls(): readonly string[] {
    return this.#facadeUrls;
  }

  /** Waits until no switch is under way and nothing is held. */
  async atRest(timeoutMs = 90_000): Promise<Phase> {
    return waitFor(
      async () => {
        const { rows } = await this.pair.db.raw<{ rows: { phase: Phase }[] }>(
          `SELECT phase FROM banyan.capability WHERE NOT holding AND NOT EXISTS (
             SELECT 1 FROM banyan.switch WHERE status IN ('running', 'flipped'))`,
        );
        return rows[0]?.phase;
      },
      { timeoutMs, everyMs: 50, what: 'the switch to be over' },
    );
  }

  /** What each side says to a write with its application's own login: `open`, or the SQLSTATE. */
  async openSides(): Promise<Record<Owner, string>> {
    const touch = (url: string, text: string): Promise<string> =>
      withClient(url, SESSION, (client) => client.query(`BEGIN; ${text}; ROLLBACK`)).then(
        () => 'open',
        (error: unknown) => sqlState(error) ?? messageOf(error),
      );
    const { monolithAppUrl, serviceAppUrl } = this.pair;
    return {
      monolith: await touch(monolithAppUrl, 'UPDATE acct SET bal = bal + 1 WHERE aid = 0'),
      service: await touch(serviceAppUrl, 'UPDATE account SET balance = balance + 1 WHERE id = 0'),
    };
  }

  /** Stops the clients, waits until both sides are equal, and looks every acknowledged write up in both. */
  async settle(): Promise<Settled> {
    await this.clients?.stop();
    return settled(this.urls, [...(this.clients?.outcomes().acknowledged ?? [])]);
  }

  async close(): Promise<void> {
    await this.clients?.stop();
    for (const running of [...this.facades, this.#sync]) {
      running?.child.kill('SIGKILL');
      await running?.exited;
    }
    for (const app of Object.values(this.apps)) await app.close();
    this.#config.remove();
    await this.stops.close();
    await this.pair.close();
    for (const server of Object.values(this.#servers)) await server.remove();
  }
}
