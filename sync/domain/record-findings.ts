// What Debezium's form of a record, as our own relays write it, loses of a column. Facts in, findings out.
import { formOf, type Form } from './debezium/forms.ts';
import { lossOf } from './debezium/losses.ts';
import type { Modes, SourceTable } from './debezium/source.ts';
import type { Finding } from './finding.ts';

export function checkRecordForm(
  where: string,
  tables: readonly (SourceTable & { readonly label: string })[],
  modes: Modes,
  schemas: boolean,
): Finding[] {
  const findings: Finding[] = [];
  const scaled: string[] = [];
  for (const { label, columns } of tables)
    for (const column of columns) {
      const form = formOf(column.type, modes);
      const loss = lossOf(column, form);
      if (loss)
        findings.push({
          severity: 'error',
          where,
          what: `${label}.${column.name}: in layout 'table' ${loss.reason}`,
          hint: MODES[kindOf(form) ?? ''] ?? ELSE,
        });
      if (kindOf(form) === 'decimal') scaled.push(`${label}.${column.name}`);
    }
  if (scaled.length > 0 && !schemas)
    findings.push({
      severity: 'warning',
      where,
      what: `numbers of ${scaled.join(', ')} are written without their scale: where that is altered, those under way are read by the new one until the table has been copied again`,
      hint: "Set changeLog.kafka.records.decimals to 'string', or schemas to true.",
    });
  return findings;
}

/** Of a list, that of its items. */
function kindOf(form: Form | undefined): Form['kind'] | undefined {
  return form?.kind === 'array' ? kindOf(form.items) : form?.kind;
}

const ELSE = "Use changeLog.kafka.layout 'changes', which keeps every type.";

/** By the form that loses something: the setting whose other form does not. */
const MODES: Readonly<Record<string, string>> = {
  number: "Set changeLog.kafka.records.decimals to 'string' or 'precise'.",
  money: "Set changeLog.kafka.records.decimals to 'string' or 'precise'.",
  temporal:
    "Set changeLog.kafka.records.temporals to 'adaptive', 'microseconds', 'nanoseconds' or 'isostring'.",
  duration: "Set changeLog.kafka.records.intervals to 'string'.",
};
