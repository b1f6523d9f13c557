// Which keys a definition may have at a place, read off its schema: for whoever has misspelt one.
import { z } from 'zod';

/** What may have keys of its own, or hold what has. */
type Form = z.ZodObject | z.ZodArray | z.ZodRecord;

/** The key that was probably meant by an unknown one at this place; undefined where none is like it. */
export function keyMeant(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
  key: string,
): string | undefined {
  const forms = path.reduce<Form[]>(
    (at, step) => at.flatMap((form) => formsOf(below(form, step))),
    formsOf(schema),
  );
  const known = forms.flatMap((form) =>
    form instanceof z.ZodObject ? Object.keys(form.shape) : [],
  );
  const most = Math.max(1, Math.floor(key.length / 3));
  const [nearest] = known
    .map((name) => ({ name, apart: distance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ apart }) => apart <= most)
    .sort((a, b) => a.apart - b.apart);
  return nearest?.name;
}

function below(form: Form, step: PropertyKey): z.core.$ZodType | undefined {
  if (form instanceof z.ZodArray) return form.element;
  if (form instanceof z.ZodRecord) return form.valueType;
  return (form.shape as Record<string, z.core.$ZodType>)[String(step)];
}

/** All that a value there may be, without what surrounds it. */
function formsOf(schema: z.core.$ZodType | undefined): Form[] {
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(formsOf);
  if (schema instanceof z.ZodPipe) return formsOf(schema.in);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  )
    return formsOf(schema.unwrap());
  if (
    schema instanceof z.ZodObject ||
    schema instanceof z.ZodArray ||
    schema instanceof z.ZodRecord
  )
    return [schema];
  return [];
}

/** Letters to be put in, taken out or replaced (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++)
      next.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[other.length] ?? 0;
}
