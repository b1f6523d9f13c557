// Everything one flow does, decided before it starts: the edges in each mode and the order of tables
// on both sides.
import type { TableMap } from '../../control/definition.ts';
import type { ConflictPolicy } from '../../control/domain/conflicts.ts';
import type { Direction } from '../../control/domain/flow.ts';
import type { FlowNames } from '../../control/domain/names.ts';
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import { mappedTable } from '../../control/domain/mapped-table.ts';
import { compileEdges } from './compile.ts';
import { takenOfAll, type Taken } from './taken.ts';
import {
  parentsFirst,
  sourceColumns,
  targetColumns,
  type Edge,
  type Mode,
  type Schemas,
} from './mapping.ts';

/** The edges of a flow in each mode, and the order of its target tables (parents first). */
export interface FlowPlan {
  readonly capability: string;
  readonly flow: string;
  readonly edges: Readonly<Record<Mode, readonly Edge[]>>;
  /** Source tables, in the order of the targets they drive. */
  readonly sourceOrder: readonly string[];
  /** Target tables, parents first. */
  readonly targetOrder: readonly string[];
  /** Target tables with columns that no edge names. */
  readonly keeping: ReadonlySet<string>;
  /** By target table, which rows of ours the target takes along or changes by itself when one of its goes. */
  readonly taking: ReadonlyMap<string, Taken>;
  /** Source tables whose truncate stops the flow. */
  readonly untruncated: ReadonlySet<string>;
  /** Origin of the opposite flow: what it wrote at our source must not travel back. */
  readonly echoOrigin: string;
  /** The columns of each table of the monolith that the service gets to know. */
  readonly shown: ReadonlyMap<string, readonly string[]>;
  readonly conflicts: ConflictPolicy;
  /** Changes of different rows may come in another order than they were made in. */
  readonly scattered?: boolean;
}

/** Throws MappingError when the mapping names a table or column that a schema lacks. */
export function planFlow(
  tables: readonly TableMap[],
  schemas: Schemas,
  flow: {
    readonly capability: string;
    readonly direction: Direction;
    readonly names: FlowNames;
    readonly echoOrigin: string;
    readonly conflicts: ConflictPolicy;
  },
): FlowPlan {
  const mapped = tables.map(mappedTable);
  const compilation = { schemas, direction: flow.direction };
  const owner = compileEdges(mapped, compilation, 'owner');
  const target = flow.direction === 'to' ? schemas.service : schemas.monolith;
  const targetOrder = parentsFirst(
    owner.map((edge) => edge.target),
    target,
  ).map(formatTable);
  const inOrder = (edges: readonly Edge[]): Edge[] =>
    [...edges].sort(
      (a, b) =>
        targetOrder.indexOf(formatTable(a.target)) - targetOrder.indexOf(formatTable(b.target)),
    );
  const all = inOrder(owner);
  return {
    capability: flow.capability,
    flow: flow.names.flow,
    edges: {
      owner: all,
      guest: inOrder(compileEdges(mapped, compilation, 'guest')),
      // Who shares carries all that moves, whether it owns it or not.
      'sharing owner': all,
      'sharing guest': all,
    },
    shown: columnsBySource(compileEdges(mapped, { schemas, direction: 'to' }, 'owner')),
    conflicts: flow.conflicts,
    sourceOrder: [...new Set(inOrder(owner).map((edge) => formatTable(edge.source)))],
    targetOrder,
    keeping: keepingOf(owner, target),
    taking: takenOfAll(owner, flow.direction === 'to' ? schemas.monolith : schemas.service, target),
    untruncated: new Set(
      tables
        .filter(({ truncate }) => truncate === 'stop')
        .flatMap((table) => table[flow.direction === 'to' ? 'monolith' : 'service'])
        .map((name) => formatTable(parseTableName(name))),
    ),
    echoOrigin: flow.echoOrigin,
  };
}

function keepingOf(edges: readonly Edge[], schema: LiveSchema): ReadonlySet<string> {
  const named = new Map<string, Set<string>>();
  for (const edge of edges) {
    const label = formatTable(edge.target);
    const names = named.get(label) ?? new Set();
    for (const column of [...edge.key, ...targetColumns(edge)]) names.add(column.target);
    named.set(label, names);
  }
  const keeps = ([label, names]: [string, Set<string>]): boolean =>
    [...(schema.get(label)?.columns.values() ?? [])].some(
      ({ name, generated }) => !generated && !names.has(name),
    );
  return new Set([...named].filter(keeps).map(([label]) => label));
}

function columnsBySource(edges: readonly Edge[]): Map<string, readonly string[]> {
  const shown = new Map<string, readonly string[]>();
  for (const edge of edges) {
    const label = formatTable(edge.source);
    shown.set(label, [...new Set([...(shown.get(label) ?? []), ...sourceColumns(edge)])]);
  }
  return shown;
}

/** The source tables that, beside a driver, feed the rows that it drives. */
export function partsOf({ edges }: FlowPlan): ReadonlyMap<string, readonly string[]> {
  const parts = new Map<string, string[]>();
  for (const part of edges.owner)
    for (const driver of edges.owner) {
      if (part.driver || !driver.driver) continue;
      if (formatTable(part.target) !== formatTable(driver.target)) continue;
      const label = formatTable(driver.source);
      parts.set(label, [...(parts.get(label) ?? []), formatTable(part.source)]);
    }
  return parts;
}

/** The target tables that a source table feeds, while it owns the data. */
export function targetsOf({ edges }: FlowPlan): (table: string) => readonly string[] {
  const targets = new Map<string, string[]>();
  for (const { source, target } of edges.owner) {
    const label = formatTable(source);
    targets.set(label, [...(targets.get(label) ?? []), formatTable(target)]);
  }
  return (table) => targets.get(table) ?? [table];
}

/** The columns by which the mapping finds the rows of a source table at the target. */
export function sourceKeyOf({ edges }: Pick<FlowPlan, 'edges'>, label: string): string[] {
  const own = edges.owner.filter((edge) => formatTable(edge.source) === label);
  return [...new Set(own.flatMap(({ key }) => key.map(({ source }) => source)))];
}
