// Gathers what the gates judge: the evidence in the control database, and, before a capability
// retires, what in the monolith still needs its tables.
import { readSchema } from '../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteTable,
  type TableName,
} from '../core/postgres/identifiers.ts';
import type { Capability } from './definition.ts';
import type { GateFacts } from './domain/gates.ts';
import { mappedTable } from './domain/mapped-table.ts';
import type { Phase } from './domain/phase.ts';
import type { FlowPair } from './ends.ts';
import type { Evidence } from './evidence.ts';
import type { JudgedAnswers } from './judged-answers.ts';
import { mappingVersion } from './mapping-version.ts';
import { missingRights } from './way-back.ts';

/** `judged`: what the answers have been made of already, by who watches them. */
export async function gatherFacts(
  evidence: Evidence,
  id: string,
  capability: Capability,
  ends: FlowPair | undefined,
  to: Phase,
  judged?: JudgedAnswers,
): Promise<GateFacts> {
  const leavesNothing = to === 'retired' && capability.leaves === 'nothing';
  const mayWrite = to === 'cutover' || (to === 'canary' && capability.canary.writes);
  return {
    ...(judged ?? (await evidence.judgedAnswers(id, capability))),
    limits: capability.gates,
    mapping: mappingVersion(capability.tables),
    hasTables: capability.tables.length > 0,
    flows: await evidence.flows(id),
    shadow: await evidence.shadow(id),
    // What was equal before the service owned it says nothing of what it wrote since.
    verify: await evidence.lastVerify(id, to === 'retired'),
    ...(mayWrite && ends && { missingRights: await missingRights(ends.back.target) }),
    stillNeeded: leavesNothing && ends ? await stillNeeded(capability, ends) : [],
  };
}

/** They would go on showing rows that nobody keeps up to date any more. */
async function viewsOf({ to }: FlowPair, names: readonly TableName[]): Promise<string[]> {
  const { rows } = await to.source.client.query<{ view: string; table: string }>(
    `SELECT DISTINCT v.oid::regclass::text AS view, d.refobjid::regclass::text AS table
       FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
      WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
        AND v.relkind IN ('v', 'm') ORDER BY 1, 2`,
    [names.map(quoteTable)],
  );
  return rows.map(({ view, table }) => `view ${view} reads ${table}`);
}

async function stillNeeded({ tables }: Capability, ends: FlowPair): Promise<string[]> {
  const names = tables.flatMap((table) => table.monolith).map(parseTableName);
  const own = new Set(names.map(formatTable));
  const schema = await readSchema(ends.to.source.client, names);
  const inbound = [...schema.values()].flatMap((table) =>
    table.inbound
      .filter((foreignKey) => !own.has(foreignKey.slice(0, foreignKey.lastIndexOf('.'))))
      .map((foreignKey) => `foreign key ${foreignKey} points to ${table.table}`),
  );
  const staying = tables.map(mappedTable).flatMap(({ monolith, links }) =>
    links
      .filter(({ klass }) => klass === 'stays')
      .flatMap((link) => link.monolith)
      .map(({ table, column }) => `${monolith[table] ?? ''}.${column} stays with the monolith`),
  );
  // Its owner, by whom foreign keys are looked after, will have no right to lock its rows any more.
  const outbound = [...schema.values()].flatMap((table) =>
    table.references
      .filter((parent) => !own.has(parent))
      .map(
        (parent) =>
          `a foreign key of ${table.table} points to ${parent}, where no row could be deleted any more`,
      ),
  );
  const beside = tables
    .map(mappedTable)
    .flatMap(({ monolith: [first = '', ...rest], where, shared }) => [
      ...(where.length > 0 ? [`rows of ${first} that "where" leaves out are written there`] : []),
      ...shared.monolith.map(
        ({ table, column }) =>
          `${[first, ...rest][table] ?? ''}.${column} is shared, and written there`,
      ),
    ]);
  const views = await viewsOf(ends, names);
  return [...staying, ...beside, ...inbound, ...outbound, ...views];
}
