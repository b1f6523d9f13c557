// The tables' own triggers, which fire for what sync writes. What one of them writes into mapped columns
// bears the applier's origin, and does not travel back: the two sides would differ. So a team decides,
// for each table and side, whether they are to fire or to be passed by.
import type { LiveTable, LiveTrigger } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import { mappedTable, type MappedTable } from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { Finding } from './finding.ts';

/** Columns of a side's tables that the other side shows too, by table. */
export type Written = ReadonlyMap<string, ReadonlySet<string>>;

export function writtenOn(tables: Capability['tables'], side: Owner): Written {
  const written = new Map<string, Set<string>>();
  for (const map of tables.map(mappedTable))
    for (const [index, name] of map[side].entries()) {
      const label = formatTable(parseTableName(name));
      const columns = [
        ...map.key.map((link) => link[side]),
        ...map.links.flatMap((link) => link[side]),
      ];
      written.set(
        label,
        new Set(columns.flatMap(({ table, column }) => (table === index ? column : []))),
      );
    }
  return written;
}

/** Of the tables of one mapping on one side. */
export function checkTriggers(
  where: string,
  map: MappedTable,
  side: Owner,
  live: readonly (LiveTable | undefined)[],
  written: Written,
): Finding[] {
  const findings: Finding[] = [];
  const decided = map.triggers[side];
  for (const table of live) {
    if (!table) continue;
    const label = formatTable(table);
    if (decided === 'skip' && table.references.length + table.inbound.length > 0)
      findings.push({
        ...{ severity: 'warning', where },
        what: `triggers of ${label} (${side}) are skipped, and so are foreign keys from and to it, what they do on delete and update, and deferrable unique constraints`,
        hint: 'What sync writes there is not checked by them: see that both sides have the same ones.',
      });
    if (decided !== undefined) continue;
    for (const trigger of table.triggers) {
      const into = mappedWrites(trigger, label, written);
      const fires = `trigger ${trigger.name} of ${label} (${side}) fires for what sync writes there`;
      if (into.length > 0)
        findings.push({
          ...{ severity: 'error', where },
          what: `${fires}, and writes ${into.join(', ')}, which the other side shows too: that does not travel back`,
          hint: `Decide: triggers: { ${side}: 'skip' } passes the triggers of the table by, 'fire' is right where the other side comes to the same by itself. Or let the trigger leave it alone.`,
        });
      else
        findings.push({
          ...{ severity: 'warning', where },
          what: fires,
          hint: `What it writes into mapped columns does not travel back. Let it leave those alone, and say so: triggers: { ${side}: 'fire' }; 'skip' passes the triggers of the table by.`,
        });
    }
  }
  return findings;
}

/** What a trigger's function writes of what is mapped, as far as its text tells. */
function mappedWrites({ source, before }: LiveTrigger, label: string, written: Written): string[] {
  if (source === null) return [];
  const text = source.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
  const found: string[] = [];
  if (before) {
    const own = [...(written.get(label) ?? [])].filter((column) => assigns(text, column));
    found.push(...own.map((column) => `${label}.${column}`));
    if (/(^|[;\s])NEW\s*:?=(?!=)|\bINTO\s+NEW\b(?!\s*\.)/i.test(text))
      found.push(`the row of ${label}`);
  }
  for (const table of written.keys()) if (changes(text, table)) found.push(table);
  return found;
}

function escaped(name: string): string {
  return name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function assigns(text: string, column: string): boolean {
  const name = `NEW\\s*\\.\\s*"?${escaped(column)}"?`;
  return new RegExp(
    `${name}\\s*:=|(^|;|\\b(BEGIN|THEN|ELSE|LOOP))\\s*${name}\\s*=|\\bINTO\\s+(STRICT\\s+)?([^;]*,\\s*)?${name}\\b`,
    'i',
  ).test(text);
}

function changes(text: string, label: string): boolean {
  const dot = label.indexOf('.');
  const [schema, table] = [label.slice(0, dot), label.slice(dot + 1)].map(escaped);
  return new RegExp(
    `\\b(UPDATE(\\s+ONLY)?|INSERT\\s+INTO|DELETE\\s+FROM(\\s+ONLY)?|MERGE\\s+INTO|TRUNCATE(\\s+TABLE)?)\\s+("?${schema ?? ''}"?\\s*\\.\\s*)?"?${table ?? ''}"?(?![\\w"])`,
    'i',
  ).test(text);
}
