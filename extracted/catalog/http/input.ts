// Turns what a request brings into typed values, or into one 400 that lists every issue with its
// path. Holds the few field types that several modules share, and the paging of every list.
import { z } from 'zod';
import { invalid } from './problem.ts';

/** Throws a 400 Problem with all issues. */
export function parse<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw invalid(
    result.error.issues.map((issue) => ({
      path: issue.path.join('.'),
      message: issue.message,
    })),
  );
}

/** A line of text as it fits a varchar(max); PostgreSQL takes no NUL character. */
export const text = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .refine((value) => !value.includes('\0'), 'must not contain a NUL character');

export const id = z.int().positive();

/** An id in a path or a query, where everything is text. */
const idText = z
  .string()
  .regex(/^[1-9][0-9]{0,14}$/, 'must be a positive integer')
  .transform(Number);

const idPath = z.object({ id: idText });

/** The `:id` of a route. */
export const idOf = (params: unknown): number => parse(idPath, params).id;

const counted = (fallback: number, max: number) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, 'must be a positive integer')
    .transform(Number)
    .refine((value) => value <= max, `must be at most ${max}`)
    .default(fallback);

/** To be spread into the query schema of a list. */
export const paging = { page: counted(1, 100_000_000), pageSize: counted(50, 200) };

/** At least one field, for a PATCH. */
export const notEmpty = (value: object): boolean => Object.keys(value).length > 0;
export const NOT_EMPTY = 'must change at least one field';
