// What a flow is to do, from its capability and the schemas of both sides as they are now.
import type pg from 'pg';
import type { Capability } from '../control/definition.ts';
import type { Direction } from '../control/domain/flow.ts';
import { flowNames, type FlowNames } from '../control/domain/names.ts';
import { planFlow, type FlowPlan } from './domain/plan.ts';
import type { LiveReferences } from './references.ts';
import { databaseOf, readSchemas } from './schemas.ts';

export interface Planned {
  readonly plan: FlowPlan;
  readonly names: FlowNames;
  /** Of the flow that leads the other way. */
  readonly other: FlowNames;
  readonly schemas: Awaited<ReturnType<typeof readSchemas>>;
  /** The source's. */
  readonly database: string;
}

/** Throws MappingError when the mapping names a table or column that a schema lacks. */
export async function planOf(
  {
    id,
    capability,
    direction,
  }: { readonly id: string; readonly capability: Capability; readonly direction: Direction },
  source: pg.Client,
  target: pg.Client,
  references?: LiveReferences,
): Promise<Planned> {
  const [monolith, service] = direction === 'to' ? [source, target] : [target, source];
  const schemas = await readSchemas(capability, monolith, service, references);
  const databases = { monolith: await databaseOf(monolith), service: await databaseOf(service) };
  const to = flowNames(id, 'to', { source: databases.monolith, target: databases.service });
  const back = flowNames(id, 'back', { source: databases.service, target: databases.monolith });
  const [names, other] = direction === 'to' ? [to, back] : [back, to];
  const plan = planFlow(capability.tables, schemas, {
    capability: id,
    direction,
    names,
    echoOrigin: other.origin,
    conflicts: capability.canary.conflicts,
  });
  const database = direction === 'to' ? databases.monolith : databases.service;
  return { plan, names, other, schemas, database };
}
