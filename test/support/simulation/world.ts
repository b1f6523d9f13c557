// The two databases that many schedules run on, one after the other, and what each of them needs anew.
import { connect } from '../../../core/postgres/connect.ts';
import { migrate } from '../../../core/postgres/migrate.ts';
import { defineMigration } from '../../../control/define.ts';
import type { Direction } from '../../../control/domain/flow.ts';
import { flowNames, PARTICIPANT_SCHEMA, type FlowNames } from '../../../control/domain/names.ts';
import type { Schemas } from '../../../sync/domain/mapping.ts';
import { planFlow, type FlowPlan } from '../../../sync/domain/plan.ts';
import { readSchemas } from '../../../sync/schemas.ts';
import type { Target } from '../../../sync/target.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { Dice } from './dice.ts';
import { SIDES, TABLES, type SideName } from './shop.ts';
import { Side } from './side.ts';

export interface FlowWorld {
  readonly names: FlowNames;
  readonly plan: FlowPlan;
  readonly from: Side;
  readonly into: Side;
  readonly url: string;
  readonly schema: Schemas['monolith'];
}

export interface World {
  readonly deferred: boolean;
  readonly sides: Readonly<Record<SideName, Side>>;
  readonly flows: Readonly<Record<Direction, FlowWorld>>;
  /** Sessions of appliers that are in good order. */
  readonly sessions: Map<Direction, Target>;
  close(): Promise<void>;
}

/** `deferred`: constraints are checked at the end of a transaction, on both sides. */
export async function createWorld(deferred: boolean): Promise<World> {
  const login = { env: 'NONE' };
  const database = { capture: login, applier: login, coordinator: login };
  const { capabilities } = defineMigration({
    control: 'postgresql://127.0.0.1/none',
    monolith: { upstream: 'http://127.0.0.1:1', database },
    services: { sim: { upstream: 'http://127.0.0.1:2', database } },
    capabilities: { sim: { service: 'sim', routes: ['/**'], tables: TABLES ?? [] } },
  });
  const capability = capabilities['sim'];
  if (!capability) throw new Error('no capability');
  const databases = {
    monolith: await createDatabase('simulated'),
    service: await createDatabase('simulated'),
  };
  const dice = new Dice(0);
  const open = async (name: SideName, { url }: TestDatabase): Promise<Side> => {
    await migrate({ url, folder: 'participant', direction: 'up', schema: PARTICIPANT_SCHEMA });
    const client = await connect(url, { applicationName: 'banyan-test' });
    await client.query(SIDES[name].sql(deferred));
    return new Side(name, client, dice);
  };
  const monolith = await open('monolith', databases.monolith);
  const service = await open('service', databases.service);
  const schemas = await readSchemas(capability, monolith.client, service.client);
  const names = { source: databases.monolith.name, target: databases.service.name };
  const to = flowNames('sim', 'to', names);
  const back = flowNames('sim', 'back', { source: names.target, target: names.source });
  const flow = (direction: Direction): FlowWorld => {
    const [own, other] = direction === 'to' ? [to, back] : [back, to];
    const [from, into] = direction === 'to' ? [monolith, service] : [service, monolith];
    return {
      names: own,
      plan: planFlow(capability.tables, schemas, {
        ...{ capability: 'sim', direction, names: own, conflicts: 'owner-wins' as const },
        echoOrigin: other.origin,
      }),
      ...{ from, into },
      url: databases[into.name].url,
      schema: schemas[from.name],
    };
  };
  const sessions = new Map<Direction, Target>();
  return {
    deferred,
    sides: { monolith, service },
    flows: { to: flow('to'), back: flow('back') },
    sessions,
    close: async () => {
      for (const session of sessions.values()) await session.close();
      for (const origin of [to.origin, back.origin])
        await monolith.client.query(
          'SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = $1',
          [origin],
        );
      for (const side of [monolith, service]) await side.client.end();
      for (const database of Object.values(databases)) await database.drop();
    },
  };
}
