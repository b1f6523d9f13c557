// What works today and may be refused, lost or surprising tomorrow: warnings that a team decides on
// before it begins.
import type { LiveColumn, LiveSchema, LiveTable } from '../../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../../core/postgres/identifiers.ts';
import type { Capability } from '../../control/definition.ts';
import type { MappedTable, Place } from '../../control/domain/mapped-table.ts';
import type { Owner } from '../../control/domain/phase.ts';
import type { Finding } from './finding.ts';
import { checkTriggers, writtenOn } from './trigger-findings.ts';
import { changesZone, misfit, scaledType } from './widths.ts';

/** The risks of one mapped table, on both sides of it. */
export function checkRisks(
  id: string,
  { tables }: Capability,
  map: MappedTable,
  schemas: Sides<LiveSchema>,
): Finding[] {
  const findings: Finding[] = [];
  const where = `${id}: ${map.monolith.join(', ')}`;
  const warn = (what: string, hint: string): void => {
    findings.push({ severity: 'warning', where, what, hint });
  };
  const live = {
    monolith: map.monolith.map((name) => schemas.monolith.get(labelOf(name))),
    service: map.service.map((name) => schemas.service.get(labelOf(name))),
  };
  widths(map, live, warn);
  texts(map, live, warn);
  findings.push(...numbersOfTheirOwn(where, map, live), ...withoutWal(where, live));
  for (const side of ['monolith', 'service'] as const) {
    const own = new Set(tables.flatMap((table) => table[side]).map(labelOf));
    for (const table of live[side]) if (table) company(table, side, own, warn);
    findings.push(...checkTriggers(where, map, side, live[side], writtenOn(tables, side)));
  }
  wideLenses(map, live, warn);
  for (const table of map.service.keys())
    for (const other of map.monolith.keys()) uniqueness(map, live, table, other, warn);
  return findings;
}

interface Sides<T> {
  readonly monolith: T;
  readonly service: T;
}

type Live = Sides<readonly (LiveTable | undefined)[]>;

function labelOf(name: string): string {
  return formatTable(parseTableName(name));
}

/** Who else has to do with a table: partitions that it is made of, tables that point to it. */
function company(table: LiveTable, side: Owner, own: ReadonlySet<string>, warn: Warn): void {
  if (table.partitioned)
    warn(
      `${formatTable(table)} (${side}) is partitioned: the stream does not tell of rows that come or go with a partition`,
      'After a TRUNCATE, DETACH or DROP of one, or an ATTACH of a table that was there before, the whole table is copied again within seconds. A DELETE or an INSERT of the rows spares that.',
    );
  for (const foreignKey of table.inbound)
    if (!own.has(foreignKey.slice(0, foreignKey.lastIndexOf('.'))))
      warn(
        `foreign key ${foreignKey} points to ${formatTable(table)} (${side}) from a table that is not mapped`,
        'A row that the other side deletes is refused here while it is pointed to: the change is parked then. ON DELETE CASCADE or SET NULL lets it through.',
      );
}

type Warn = (what: string, hint: string) => void;

/** A key that has two texts is two rows to whoever compares texts. */
function texts(map: MappedTable, live: Live, warn: Warn): void {
  for (const { monolith, service } of map.key) {
    const left = live.monolith[monolith.table]?.columns.get(monolith.column);
    const right = live.service[service.table]?.columns.get(service.column);
    if (!left || !right || familyOf(left.type) === familyOf(right.type)) continue;
    warn(
      `key ${left.name} (${left.fullType}) and ${right.name} (${right.fullType}) are of different kinds: a value that has another text on the other side ('007' and 7, a uuid in capitals) is another row on its way back`,
      'Give both sides the same type, or see that the texts are those that the other type writes.',
    );
  }
}

const INTEGERS = new Set(['smallint', 'integer', 'bigint', 'numeric']);
const TEXTS = new Set([
  'text',
  'character varying',
  'varchar',
  'bpchar',
  'character',
  'citext',
  'name',
]);

function familyOf(type: string): string {
  if (INTEGERS.has(type)) return 'number';
  return TEXTS.has(type) ? 'text' : type;
}

/** Values that do not fit into the other side's type. Most lenses change the value: its range is not known. */
function widths(map: MappedTable, live: Live, warn: Warn): void {
  const columnAt = (side: Owner, place: Place | undefined): LiveColumn | undefined =>
    live[side][place?.table ?? -1]?.columns.get(place?.column ?? '');
  const plain = map.links.filter(({ lens }) => lens.lens === 'rename' || lens.lens === 'scale');
  for (const link of [
    ...map.key.map(({ monolith, service }) => ({ monolith: [monolith], service: [service] })),
    ...plain,
  ]) {
    const left = columnAt('monolith', link.monolith[0]);
    const right = columnAt('service', link.service[0]);
    if (!left || !right) continue;
    if (changesZone(left.fullType, right.fullType))
      warn(
        `${left.name} (${left.fullType}) and ${right.name} (${right.fullType}): a time without a zone is taken for one in UTC`,
        'Where it is meant in another zone, every value will be wrong by its offset, and verify will not see it: give both sides the same type, or the column a custom lens that knows the zone.',
      );
    const hint =
      'A value that does not fit is parked, or rounded. Widen the column, or see that no such value comes.';
    const digits =
      'lens' in link && link.lens.lens === 'scale' ? Math.round(Math.log10(link.lens.factor)) : 0;
    for (const one of digits === 0 ? [] : [left, right])
      if (TEXTS.has(one.type))
        warn(
          `${one.name} (${one.fullType}) is scaled: a text like '12.50' or '007' comes back as '12.5' or '7'`,
          'Where its spelling matters, map it by a custom lens, which parks what would not come back the same.',
        );
    // Of what is scaled only what nobody would notice: what is too large is refused, and seen.
    const lost = (from: string, into: string): string | undefined => {
      const what = misfit(from, into);
      return digits !== 0 && what?.endsWith('refused') ? undefined : what;
    };
    const forth = lost(scaledType(left.fullType, digits), right.fullType);
    if (forth !== undefined)
      warn(`${left.name} (${left.fullType}) → ${right.name} (${right.fullType}): ${forth}`, hint);
    const stays = 'klass' in link && link.klass === 'stays';
    const back = stays ? undefined : lost(scaledType(right.fullType, -digits), left.fullType);
    if (back !== undefined)
      warn(
        `${right.name} (${right.fullType}) → ${left.name} (${left.fullType}), on the way back: ${back}`,
        hint,
      );
  }
}

/** Columns that sync would have to update, and that no update may set. */
function numbersOfTheirOwn(where: string, map: MappedTable, live: Live): Finding[] {
  return (['monolith', 'service'] as const).flatMap((side) =>
    map.links
      .filter(({ klass }) => side === 'service' || klass !== 'stays')
      .flatMap((link) => link[side])
      .flatMap(({ table: index, column }): Finding[] => {
        const table = live[side][index];
        if (!table || table.columns.get(column)?.fixed !== true) return [];
        return [
          {
            ...{ severity: 'error', where },
            what: `column ${column} of ${formatTable(table)} (${side}) is GENERATED ALWAYS AS IDENTITY: no update may set it`,
            hint: `ALTER TABLE ${quoteTable(table)} ALTER COLUMN ${quoteIdentifier(column)} SET GENERATED BY DEFAULT.`,
          },
        ];
      }),
  );
}

function withoutWal(where: string, live: Live): Finding[] {
  return (['monolith', 'service'] as const).flatMap((side) =>
    live[side].flatMap((table): Finding[] =>
      table?.unlogged === true
        ? [
            {
              ...{ severity: 'error', where },
              what: `${formatTable(table)} (${side}) is UNLOGGED: its changes are sent to nobody, and a crash of the server empties it`,
              hint: `ALTER TABLE ${quoteTable(table)} SET LOGGED.`,
            },
          ]
        : [],
    ),
  );
}

/** Types whose values may be stored out of line, and are not sent then when they have not changed. */
const LONG = /^(text|character varying|bpchar|json|jsonb|bytea|xml|tsvector)$|\[\]$/;

function wideLenses(map: MappedTable, live: Live, warn: Warn): void {
  for (const { monolith, service } of map.links)
    for (const [side, places] of [
      ['monolith', monolith],
      ['service', service],
    ] as const) {
      const table = live[side][places[0]?.table ?? -1];
      if (!table || places.length < 2 || table.replicaIdentity === 'full') continue;
      const long = places
        .map(({ column }) => column)
        .filter((column) => LONG.test(table.columns.get(column)?.type ?? ''));
      if (long.length > 0)
        warn(
          `${long.join(', ')} of ${formatTable(table)} (${side}) may be long, and are mapped together with other columns`,
          `A change that leaves a long value alone does not bring it: the row is read again each time. ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL spares that.`,
        );
    }
}

/** What one side allows twice and the other only once. */
function uniqueness(
  map: MappedTable,
  live: Live,
  inService: number,
  inMonolith: number,
  warn: Warn,
): void {
  const tables = { service: live.service[inService], monolith: live.monolith[inMonolith] };
  const links = [
    ...map.key,
    ...map.links.flatMap((link) => {
      const [monolith, service] = [link.monolith[0], link.service[0]];
      return link.wide || !monolith || !service ? [] : [{ monolith, service }];
    }),
  ].filter((link) => link.service.table === inService && link.monolith.table === inMonolith);
  for (const [strict, loose] of [
    ['service', 'monolith'],
    ['monolith', 'service'],
  ] as const)
    for (const key of tables[strict]?.uniqueKeys ?? []) {
      const there = key.map(
        (column) => links.find((link) => link[strict].column === column)?.[loose],
      );
      const other = tables[loose];
      if (!other || !tables[strict] || !there.every((place) => place !== undefined)) continue;
      const wanted = there.map(({ column }) => column);
      const same = (one: readonly string[]): boolean =>
        one.length === wanted.length && one.every((column) => wanted.includes(column));
      if ([other.primaryKey, ...other.uniqueKeys].some(same)) continue;
      warn(
        `unique (${key.join(', ')}) of ${formatTable(tables[strict])} has no counterpart in ${formatTable(other)}`,
        'Rows that are allowed there are refused here, and parked. Make it unique on both sides, or on none.',
      );
    }
}
