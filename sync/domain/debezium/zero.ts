// What the connector puts where a column that is NOT NULL has no value: in the old row of a change
// under a replica identity that holds the key only.
import { printDecimal } from './decimals.ts';
import { numericLimits, type Form } from './forms.ts';
import type { SourceType } from './source.ts';
import { writerOf } from './write-value.ts';

export function zeroOf(form: Form, type: SourceType): string {
  switch (form.kind) {
    case 'integer':
    case 'float':
    case 'number':
    case 'duration':
      return '0';
    case 'boolean':
    case 'bit':
      return 'false';
    case 'text':
      if (type.name !== 'numeric') return '""';
      return `"${printDecimal(0n, numericLimits(type.typmod)?.scale ?? 0)}"`;
    case 'binary':
    case 'bits':
      return '""';
    case 'decimal':
    case 'variable':
    case 'money':
      return writerOf(form, false)('0');
    case 'interval':
      return writerOf(form, false)('00:00:00');
    case 'zoned':
      return form.of === 'time' ? '"00:00:00Z"' : '"1970-01-01T00:00:00Z"';
    case 'temporal':
      return writerOf(form, false)(form.of === 'time' ? '00:00:00' : '1970-01-01 00:00:00');
    case 'hstore':
      return form.as === 'map' ? '{}' : '"{}"';
    case 'array':
      return '[]';
  }
}
