// What the connector puts where a column that is NOT NULL has no value: in the old row of a change
// under a replica identity that holds the key only.
import type { Form } from './forms.ts';
import { writerOf } from './write-value.ts';

const EPOCH = '1970-01-01 00:00:00';

export function zeroOf(form: Form): string {
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
    case 'binary':
    case 'bits':
      return '""';
    case 'decimal':
    case 'variable':
    case 'money':
      return writerOf(form, false)('0');
    case 'interval':
      return writerOf(form, false)('00:00:00');
    case 'temporal':
    case 'zoned':
      return writerOf(
        form,
        false,
      )(form.of === 'time' ? '00:00:00+00' : form.of === 'date' ? '1970-01-01' : `${EPOCH}+00`);
    case 'hstore':
      return form.as === 'map' ? '{}' : '"{}"';
    case 'array':
      return '[]';
  }
}
