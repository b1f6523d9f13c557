// Compiles table maps against both live schemas into the edges of a flow. What an edge carries depends
// on who owns the data: an owner's flow carries what moves, a guest's only the columns that stay with it.
import type { Direction } from '../../control/domain/flow.ts';
import type { Link, MappedTable, Place } from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { WideMap } from '../../control/lenses.ts';
import type { LiveColumn, LiveTable } from '../../core/postgres/catalog.ts';
import { parseTableName, type TableName } from '../../core/postgres/identifiers.ts';
import { withoutBlanks } from '../../core/postgres/text-forms.ts';
import { compileLens, LensError } from './lens.ts';
import { columnPair, liveColumn, liveTable, targetColumn } from './live-columns.ts';
import {
  MappingError,
  type ColumnGroup,
  type ColumnPair,
  type Constant,
  type Edge,
  type Owning,
  type Schemas,
} from './mapping.ts';
import { staying } from './staying.ts';
import { compileWide } from './wide-lens.ts';

export interface Compilation {
  readonly schemas: Schemas;
  readonly direction: Direction;
}

/**
 * The edges of one flow in one mode. Throws MappingError for a table or column that is not there, and for
 * a lens without a way back where one is needed.
 */
export function compileEdges(
  tables: readonly MappedTable[],
  compilation: Compilation,
  mode: Owning,
): Edge[] {
  if (mode === 'guest' && compilation.direction === 'back') return [];
  const edges = tables.flatMap((table) => new TableCompiler(table, compilation, mode).edges());
  return mode === 'owner' ? edges : edges.filter((edge) => edge.columns.length > 0);
}

class TableCompiler {
  readonly #table: MappedTable;
  readonly #compilation: Compilation;
  readonly #mode: Owning;
  readonly #from: Owner;
  readonly #into: Owner;

  constructor(table: MappedTable, compilation: Compilation, mode: Owning) {
    this.#table = table;
    this.#compilation = compilation;
    this.#mode = mode;
    [this.#from, this.#into] =
      compilation.direction === 'to' ? ['monolith', 'service'] : ['service', 'monolith'];
  }

  edges(): Edge[] {
    const sources = this.#table[this.#from];
    const targets = this.#table[this.#into];
    return sources.flatMap((_, source) => targets.map((_, target) => this.#edge(source, target)));
  }

  #edge(source: number, target: number): Edge {
    const from = this.#live(this.#from, source);
    const into = this.#live(this.#into, target);
    const links = this.#table.links.filter(
      (link) =>
        this.#carries(link) &&
        link[this.#from][0]?.table === source &&
        link[this.#into][0]?.table === target,
    );
    const back = this.#compilation.direction === 'back';
    const where = this.#table.where.map((rule) => ({
      ...rule,
      type: liveColumn(this.#live('monolith', 0), rule.column).type,
    }));
    return {
      source: this.#name(this.#from, source),
      target: this.#name(this.#into, target),
      key: this.#key(source, target, from, into),
      columns: links.flatMap((link) =>
        link.wide || this.#isFiltered(link) ? [] : [this.#pair(link, from, into)],
      ),
      groups: [
        ...links.flatMap((link) =>
          link.wide || this.#isFiltered(link) ? [this.#group(link, from, into)] : [],
        ),
        ...this.#keyChecks(source, target),
      ],
      constants: source === 0 ? this.#constants(target, into) : [],
      driver: source === 0 && this.#mode === 'owner',
      part: source === 0 && target > 0,
      optional: back && source === 0 && target > 0,
      filter: back ? [] : where,
      guard: back ? where : [],
      skipsTriggers: this.#table.triggers[this.#into] === 'skip',
    };
  }

  #carries({ klass }: Link): boolean {
    if (this.#compilation.direction === 'back') return klass === 'moves';
    return this.#mode === 'owner' || klass === 'stays';
  }

  /** In the order of the target's key, which all edges that lead there share. */
  #key(source: number, target: number, from: LiveTable, into: LiveTable): ColumnPair[] {
    const own = this.#table.key.filter(
      (link) => link[this.#from].table === source && link[this.#into].table === target,
    );
    const order = this.#table.key
      .filter((link) => link[this.#from].table === 0 && link[this.#into].table === target)
      .map((link) => link[this.#into].column);
    return own
      .sort((a, b) => order.indexOf(a[this.#into].column) - order.indexOf(b[this.#into].column))
      .map((link) =>
        columnPair(
          liveColumn(from, link[this.#from].column),
          liveColumn(into, link[this.#into].column),
          (value) => value,
          undefined,
        ),
      );
  }

  #pair(link: Link & { readonly wide: false }, from: LiveTable, into: LiveTable): ColumnPair {
    const compiled = compileLens(link.lens, this.#compilation.schemas.references);
    const pair = columnPair(
      liveColumn(from, link[this.#from][0]?.column ?? ''),
      liveColumn(into, link[this.#into][0]?.column ?? ''),
      this.#from === 'monolith' ? compiled.get : compiled.put,
      link.lens,
    );
    const [absent = null] = this.#absent(link, (values) =>
      values.map((value) => (value === null ? null : pair.map(value))),
    );
    return { ...pair, absent, needed: pair.needed && !this.#isFilled(link, absent) };
  }

  #group(link: Link, from: LiveTable, into: LiveTable): ColumnGroup {
    const sources = link[this.#from].map(({ column }) => liveColumn(from, column));
    const targets = link[this.#into].map(({ column }) => liveColumn(into, column));
    const trims = sources.map((column) => column.type === 'bpchar');
    const map = link.wide ? this.#wide(link, from, into) : this.#narrow(link, from, into);
    const absent = this.#absent(link, map);
    const checks = link[this.#into].map((place) =>
      this.#into === 'monolith' ? this.#filterOf(place) : undefined,
    );
    return {
      sources: sources.map((column) => column.name),
      targets: targets.map((live, index) => {
        const column = { ...targetColumn(live), wide: link.wide, absent: absent[index] ?? null };
        return { ...column, needed: column.needed && !this.#isFilled(link, column.absent) };
      }),
      map: (values) =>
        map(
          values.map((value, index) =>
            trims[index] === true && value !== null ? withoutBlanks(value) : value,
          ),
        ).map((value, index) => checks[index]?.(value) ?? value),
    };
  }

  /** What a link's columns at the target hold where there is no part, or one that says nothing. */
  #absent(link: Link, map: WideMap): readonly (string | null)[] {
    const given = (side: Owner): (string | null)[] =>
      link[side].map(({ table, column }) => {
        const same = (place: Place): boolean => place.table === table && place.column === column;
        const { notNull, constant } = liveColumn(this.#live(side, table), column);
        return this.#table.defaults[side].find(same)?.value ?? (notNull ? constant : null);
      });
    if (this.#into === 'monolith' || (link.monolith[0]?.table ?? 0) > 0) return given(this.#into);
    if ((link.service[0]?.table ?? 0) === 0) return [];
    try {
      return map(given('monolith'));
    } catch (error) {
      // Such a value is never written: no part says nothing by it.
      if (error instanceof LensError) return [];
      throw error;
    }
  }

  /** Whether a row can be inserted without the part that feeds a column of it. */
  #isFilled(link: Link, absent: string | null): boolean {
    return absent !== null && (link[this.#from][0]?.table ?? 0) > 0;
  }

  #narrow(link: Link & { readonly wide: false }, from: LiveTable, into: LiveTable): WideMap {
    const { map } = this.#pair(link, from, into);
    return (values) => values.map((value) => (value === null ? null : map(value)));
  }

  #wide(link: Link & { readonly wide: true }, from: LiveTable, into: LiveTable): WideMap {
    const { lens } = link;
    const sides = {
      monolith: this.#from === 'monolith' ? from : into,
      service: this.#from === 'monolith' ? into : from,
    };
    const columns = (side: Owner): LiveColumn[] =>
      link[side].map(({ column }) => liveColumn(sides[side], column));
    const parts = lens.lens === 'custom' ? 'monolith' : lens.parts;
    const whole = parts === 'monolith' ? 'service' : 'monolith';
    const { get, put } = compileWide(lens, {
      partTypes: columns(parts).map(({ type }) => type),
      wholeNotNull: columns(whole)[0]?.notNull ?? false,
    });
    if (this.#from === 'monolith') return get;
    if (put) return put;
    throw new MappingError(
      `the custom lens of ${lens.monolith.join(', ')} → ${lens.service.join(', ')} has no put: what the service writes cannot come back`,
    );
  }

  #constants(target: number, into: LiveTable): Constant[] {
    const given = this.#table.defaults[this.#into];
    const stays =
      this.#into === 'service'
        ? []
        : this.#table.links.flatMap(({ klass, monolith: [place], fallback }) =>
            klass === 'stays' && place ? [{ ...place, value: fallback }] : [],
          );
    return [...stays, ...given]
      .filter((place) => place.table === target)
      .map(({ column, value }) => ({ column, type: liveColumn(into, column).type, value }));
  }

  /** Whether what is written back there decides whether the row still belongs. */
  #isFiltered(link: Link): boolean {
    return this.#into === 'monolith' && link.monolith.some((place) => this.#filterOf(place));
  }

  /** Gives a value of the monolith back, if it leaves its row among those that belong. */
  #filterOf({ table, column }: Place): ((value: string | null) => string | null) | undefined {
    const rule = this.#table.where.find((one) => table === 0 && one.column === column);
    if (!rule || this.#into !== 'monolith') return undefined;
    return staying(rule, liveColumn(this.#live('monolith', 0), column).type);
  }

  /** A row that the service gives a key which does not belong is refused like one with another such value. */
  #keyChecks(source: number, target: number): ColumnGroup[] {
    return this.#table.key.flatMap(({ monolith, service }) => {
      const isOf = service.table === source && monolith.table === target;
      const check = isOf ? this.#filterOf(monolith) : undefined;
      if (!check) return [];
      const map: WideMap = ([value = null]) => {
        check(value);
        return [];
      };
      return [{ sources: [service.column], targets: [], map }];
    });
  }

  #name(side: Owner, index: number): TableName {
    return parseTableName(this.#table[side][index] ?? '');
  }

  #live(side: Owner, index: number): LiveTable {
    return liveTable(this.#compilation.schemas[side], this.#name(side, index));
  }
}
