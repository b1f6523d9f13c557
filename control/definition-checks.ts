// What the schema alone cannot say of a definition: names that point nowhere, tables and routes that
// two capabilities claim, columns in two classes; and how zod's issues read.
import type { z } from 'zod';
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import { schema, type Migration } from './definition.ts';
import { oneWayReason } from './domain/mapped-table.ts';
import { sourcesOf } from './kafka-topics.ts';
import { keyMeant } from './known-keys.ts';
import { checkTable } from './table-checks.ts';

/** One line an issue: its path and what is wrong. */
export function describeIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String).join('.') || '(top)';
  // Of a union's branches, the one that got furthest tells what was meant; where none did, all count.
  // One without branches was told apart by a word that none of them has, and says so itself.
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const branches = [...issue.errors].sort((a, b) => depth(b) - depth(a));
    const [best = []] = branches;
    if (depth(best) === 0)
      return [
        `${at}: ${branches.flatMap((one) => one.map(({ message }) => message)).join('; or ')}`,
      ];
    return best.flatMap((inner) =>
      describeIssue({ ...inner, path: [...issue.path, ...inner.path] }),
    );
  }
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const meant = keyMeant(schema, issue.path, key);
      const more = meant === undefined ? '' : `, did you mean "${meant}"?`;
      return `${[...issue.path.map(String), key].join('.')}: unknown key${more}`;
    });
  return [`${at}: ${issue.message}`];
}

/** What a branch says of a value that it was not made for. */
const OTHER_KIND = new Set<string | undefined>(['invalid_type', 'invalid_value']);

function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(
    0,
    ...issues.map((issue) => issue.path.length + (OTHER_KIND.has(issue.code) ? 0 : 1)),
  );
}

type Draft = Pick<Migration, 'monolith' | 'services' | 'capabilities' | 'changeLog' | 'facade'>;

/** For zod's superRefine. */
export function crossChecks(draft: Draft, context: z.core.$RefinementCtx): void {
  const report = (path: (string | number)[], message: string): void => {
    context.issues.push({ code: 'custom', path, message, input: undefined });
  };
  if (draft.changeLog !== 'direct' && draft.services['monolith'])
    report(
      ['services', 'monolith'],
      'over Kafka its topics would have the names of the monolith’s',
    );
  const owners = new Map<string, string>();
  const claims = new Map<string, string>();
  for (const [id, given] of Object.entries(draft.capabilities)) {
    const at = ['capabilities', id];
    const service = draft.services[given.service];
    if (!service)
      report([...at, 'service'], `there is no service "${given.service}" under services`);
    if (given.tables.length > 0) {
      if (!draft.monolith.database)
        report(['monolith', 'database'], `needed: capability "${id}" has tables`);
      if (service && !service.database)
        report(['services', given.service, 'database'], `needed: capability "${id}" has tables`);
    }
    checkSource(draft, given, (path, message) => {
      report([...at, ...path], message);
    });
    const { writes, conflicts } = given.canary;
    for (const [index, table] of given.tables.entries())
      if (writes && (table.monolith.length > 1 || Object.keys(table.where).length > 0))
        report(
          [...at, 'tables', index],
          'tables that merge, or of which only some rows belong, cannot have `canary.writes`',
        );
    if (writes && draft.changeLog !== 'direct' && draft.changeLog.kafka.layout === 'table')
      report(
        [...at, 'canary', 'writes'],
        "who judges what both sides write needs whole transactions in one order: changeLog.kafka.layout 'changes'",
      );
    const oneWay = writes ? oneWayReason(given.tables) : undefined;
    if (oneWay !== undefined)
      report(
        [...at, 'canary', 'writes'],
        `what cohorts write at the service must travel back, and ${oneWay}: give the lens a put that undoes its get`,
      );
    const { cookie, header, claim } = given.canary.cohort;
    if (writes && cookie !== undefined && cookie !== 'banyan_cohort')
      report(
        [...at, 'canary', 'cohort', 'cookie'],
        'anybody can write this cookie, and so choose where writes go: leave it out under `canary.writes`, the facade signs one of its own',
      );
    if (writes && claim !== undefined)
      report(
        [...at, 'canary', 'cohort', 'claim'],
        'the edge checks no tokens, so anybody can make one up and choose where writes go: under `canary.writes` leave it out, the facade signs a cookie of its own',
      );
    if (writes && header !== undefined && draft.facade.trustedProxies.length === 0)
      report(
        [...at, 'canary', 'cohort', 'header'],
        'anybody can send this header, and so choose where writes go: under `canary.writes` name who may say it in facade.trustedProxies, or leave it out',
      );
    if (conflicts !== 'owner-wins' && !writes)
      report([...at, 'canary', 'conflicts'], 'there are none without `canary.writes: true`');
    if (conflicts !== 'owner-wins' && given.tables.length === 0)
      report([...at, 'canary', 'conflicts'], 'a capability without tables has no conflicts');
    if (given.tables.length === 0 && given.leaves === 'copy')
      report([...at, 'leaves'], 'a capability without tables leaves no copy');
    given.tables.forEach((table, index) => {
      const claim = (label: string): void => {
        const other = owners.get(label);
        if (other !== undefined)
          report(
            [...at, 'tables', index],
            `table ${label} belongs to capability "${other}" already`,
          );
        owners.set(label, id);
      };
      for (const one of table.monolith)
        claim(`${formatTable(parseTableName(one))} of the monolith`);
      for (const one of table.service)
        claim(`${formatTable(parseTableName(one))} of ${given.service}`);
      checkTable(table, (path, message) => {
        report([...at, 'tables', index, ...path], message);
      });
    });
    given.routes.forEach((one, index) => {
      for (const method of 'methods' in one && one.methods ? one.methods : ['*']) {
        const key = `${method} ${one.path}`;
        const other = claims.get(key);
        if (other !== undefined)
          report([...at, 'routes', index], `${key} is claimed by capability "${other}" already`);
        claims.set(key, id);
      }
    });
  }
  checkOutboxes(draft, owners, report);
}

/** Outboxes that nobody would send, or that would take a flow's rows. */
function checkOutboxes(
  { changeLog, services, ...draft }: Draft,
  owners: ReadonlyMap<string, string>,
  report: (path: (string | number)[], message: string) => void,
): void {
  if (changeLog === 'direct') return;
  const relayed = sourcesOf(draft);
  for (const source of Object.keys(changeLog.kafka.outbox))
    if (source !== 'monolith' && !services[source])
      report(
        ['changeLog', 'kafka', 'outbox', source],
        'is neither `monolith` nor a service under services',
      );
    else if (!relayed.includes(source))
      report(
        ['changeLog', 'kafka', 'outbox', source],
        source === 'monolith'
          ? 'no relay would ever read it: no capability has tables whose changes come from the monolith without a connector. Leave it out; where a connector reads the monolith, that can route its outbox'
          : 'no relay would ever read it: no capability with tables has this service. Leave it out until one has',
      );
  // In layout `table` rows of an outbox are events and nothing else: no flow would get them.
  if (changeLog.kafka.layout !== 'table') return;
  for (const [source, outboxes] of Object.entries(changeLog.kafka.outbox))
    for (const [index, { table }] of outboxes.entries()) {
      const owner = owners.get(`${table} of ${source === 'monolith' ? 'the monolith' : source}`);
      if (owner === undefined) continue;
      report(
        ['changeLog', 'kafka', 'outbox', source, index, 'table'],
        `${table} is mapped by capability "${owner}" too, and in layout 'table' rows of an outbox are events and nothing else: leave it out of one of them, or choose layout 'changes'`,
      );
    }
}

/** What a capability needs whose changes a Debezium connector brings. */
function checkSource(
  { changeLog }: Draft,
  { source, tables, canary }: Migration['capabilities'][string],
  report: (path: (string | number)[], message: string) => void,
): void {
  if (!source) return;
  const at = ['source', 'debezium'];
  if (changeLog === 'direct')
    report(at, 'its topics are read from the brokers that changeLog.kafka names: set it');
  if (tables.length === 0) report(at, 'a capability without tables has no changes');
  if (canary.writes)
    report(
      ['canary', 'writes'],
      "who judges what both sides write needs whole transactions in one order, which a connector's topics do not have: leave `source` out, and a relay brings the changes",
    );
  const own = new Set(
    tables.flatMap((table) => table.monolith).map((name) => formatTable(parseTableName(name))),
  );
  for (const name of Object.keys(source.debezium.topics))
    if (!own.has(formatTable(parseTableName(name))))
      report([...at, 'topics', name], 'is no table of the monolith under tables');
}
