// Which side of a simulation owns the data, how that changes, and what the sides' logs are told of it,
// beside messages that change nothing.
import { encodeMessage, type FlowMessage } from '../../../control/domain/flow.ts';
import type { Dice } from './dice.ts';
import type { SideName } from './shop.ts';
import type { World } from './world.ts';

const OTHER = { monolith: 'service', service: 'monolith' } as const;

export class Owner {
  readonly #world: World;
  readonly #dice: () => Dice;
  readonly #note: (step: string) => void;
  #side: SideName = 'monolith';
  #epoch = 0;
  /** The epoch of a switch whose old owner is fenced already. */
  #switching: number | undefined;

  /** `note` is told what was done, to read. */
  constructor(world: World, dice: () => Dice, note: (step: string) => void) {
    this.#world = world;
    this.#dice = dice;
    this.#note = note;
  }

  get side(): SideName {
    return this.#side;
  }

  get isSwitching(): boolean {
    return this.#switching !== undefined;
  }

  /** A switch that is over before the first step. */
  beginAtService(): void {
    this.#tell('monolith', this.#ownership(false));
    this.#tell('service', this.#ownership(true));
    this.#side = 'service';
  }

  beginSwitch(): void {
    this.#switching = ++this.#epoch;
    this.#note(`the ${this.#side} is fenced, epoch ${this.#epoch}`);
    this.#tell(this.#side, this.#ownership(false));
  }

  /** Once the flow has passed the fence with nothing left over, the other side takes over; or it is undone. */
  async endSwitch(): Promise<void> {
    if (this.#switching === undefined) return;
    const direction = this.#side === 'monolith' ? 'to' : 'back';
    const { rows } = await this.#world.flows[direction].into.client.query<{ passed: boolean }>(
      `SELECT barrier >= ${this.#switching} AND NOT EXISTS (SELECT FROM banyan.reread) AND NOT EXISTS (SELECT FROM banyan.parked) AS passed
         FROM banyan.checkpoint`,
    );
    if (rows[0]?.passed !== true) return;
    this.#switching = undefined;
    if (this.#dice().chance(0.8)) this.#side = OTHER[this.#side];
    this.#note(`the ${this.#side} owns`);
    this.#tell(this.#side, this.#ownership(true));
  }

  /** Messages of our own and of others, which change no row. */
  noise(): void {
    const dice = this.#dice();
    const side = this.#world.sides[dice.one(['monolith', 'service'] as const)];
    const { xmin, xmax, running } = side.snapshot();
    const flow = side.name === 'monolith' ? 'sim:to' : 'sim:back';
    side.history.message(
      dice.one([
        encodeMessage({ kind: 'heartbeat', flow, at: null, xmin, xmax, running: [...running] }),
        encodeMessage({
          kind: 'heartbeat',
          flow: 'other:to',
          at: null,
          xmin: side.history.nextXid,
        }),
        encodeMessage({ kind: 'barrier', capability: 'sim' }),
        encodeMessage({
          kind: 'ownership',
          capability: 'other',
          epoch: 9,
          owns: dice.chance(0.5),
        }),
        'no message of ours',
      ]),
      dice.one(['banyan', 'banyan', 'another']),
    );
    this.#note(`a message at the ${side.name}`);
  }

  #ownership(owns: boolean): FlowMessage {
    return { kind: 'ownership', capability: 'sim', epoch: this.#epoch, owns };
  }

  #tell(side: SideName, message: FlowMessage): void {
    this.#world.sides[side].history.message(encodeMessage(message));
  }
}
