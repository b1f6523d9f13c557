// Whose a change is: the capabilities that have its table at this source, or that a message of ours names.
// All of them travel in one topic; by this each flow knows of what retention has deleted whether any of it
// was its own. What nobody can tell is everybody's.
import { decodeMessage } from '../../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../../control/domain/names.ts';
import { formatTable } from '../../../core/postgres/identifiers.ts';
import type { Change, Relation } from '../change.ts';

/** The capability that a message of ours is about. */
export function capabilityOf(content: string): string | undefined {
  const message = decodeMessage(content);
  if (!message) return undefined;
  return 'capability' in message ? message.capability : message.flow.split(':')[0];
}

export class Concerns {
  /** Every capability that has tables there. */
  readonly all: readonly string[];
  readonly #byTable = new Map<string, string[]>();
  readonly #byRelation = new WeakMap<Relation, readonly string[]>();

  /** By capability its tables, as `schema.table`; rows of `others` are no flow's. */
  constructor(tablesOf: ReadonlyMap<string, readonly string[]>, others: readonly string[] = []) {
    this.all = [...tablesOf.keys()];
    for (const table of others) this.#byTable.set(table, []);
    for (const [capability, tables] of tablesOf)
      for (const table of new Set(tables)) {
        const known = this.#byTable.get(table);
        if (known) known.push(capability);
        else this.#byTable.set(table, [capability]);
      }
  }

  of(change: Change): readonly string[] {
    if (change.kind === 'message') return this.#ofMessage(change.prefix, change.content);
    if (change.kind === 'truncate') return change.relations.flatMap((one) => this.#ofTable(one));
    return this.#ofTable(change.relation);
  }

  /** One whose name the definition does not know may be anybody's that was renamed. */
  #ofTable(relation: Relation): readonly string[] {
    const known = this.#byRelation.get(relation);
    if (known) return known;
    const found = this.#byTable.get(formatTable(relation)) ?? this.all;
    this.#byRelation.set(relation, found);
    return found;
  }

  #ofMessage(prefix: string, content: string): readonly string[] {
    // One without content only moves the log on.
    if (prefix !== MESSAGE_PREFIX || content === '') return [];
    const capability = capabilityOf(content);
    if (capability === undefined) return this.all;
    return this.all.includes(capability) ? [capability] : [];
  }
}
