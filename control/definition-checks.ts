// What the schema alone cannot say of a definition: names that point nowhere, tables and routes that
// two capabilities claim, columns in two classes; and how zod's issues read.
import type { z } from 'zod';
import type { Migration, TableMap } from './definition.ts';

/** One line an issue: its path and what is wrong. */
export function describeIssue(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String).join('.') || '(top)';
  // Of a union's branches, the one that got furthest tells what was meant; where none did, all count.
  if (issue.code === 'invalid_union') {
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
    return issue.keys.map((key) => `${[...issue.path.map(String), key].join('.')}: unknown key`);
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

type Draft = Pick<Migration, 'monolith' | 'services' | 'capabilities'>;

/** For zod's superRefine. */
export function crossChecks(draft: Draft, context: z.core.$RefinementCtx): void {
  const report = (path: (string | number)[], message: string): void => {
    context.issues.push({ code: 'custom', path, message, input: undefined });
  };
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
    const { writes, conflicts } = given.canary;
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
      claim(`${table.monolith} of the monolith`);
      for (const one of table.service) claim(`${one} of ${given.service}`);
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
}

function checkTable(table: TableMap, report: (path: string[], message: string) => void): void {
  const seen = new Map<string, string>();
  const once = (column: string, where: string): void => {
    const before = seen.get(column);
    if (before !== undefined)
      report([where, column], `column ${column} is in "${before}" already: a column has one class`);
    else seen.set(column, where);
  };
  for (const column of Object.keys(table.key)) once(column, 'key');
  for (const column of Object.keys(table.columns)) once(column, 'columns');
  for (const column of Object.keys(table.stays)) once(column, 'stays');
  for (const column of table.shared.monolith) once(column, 'shared');
  const targets = new Map<string, string>();
  const target = (to: string, path: string[]): void => {
    const qualified = to.includes('.') ? to : `${table.service[0] ?? ''}.${to}`;
    const home = qualified.slice(0, qualified.lastIndexOf('.'));
    if (!table.service.includes(home))
      report(path, `"${to}" names table ${home}, which is not in "service"`);
    const before = targets.get(qualified);
    if (before !== undefined)
      report(path, `service column ${qualified} is fed by ${before} already`);
    targets.set(qualified, path.join('.'));
  };
  for (const [column, given] of Object.entries(table.columns))
    target(given.to, ['columns', column]);
  for (const [column, given] of Object.entries(table.stays)) target(given.to, ['stays', column]);
  for (const [column, given] of Object.entries(table.key)) {
    if (typeof given === 'string') continue;
    for (const one of table.service)
      if (given[one] === undefined) report(['key', column], `names no column of ${one}`);
  }
}
