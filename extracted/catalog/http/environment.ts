// What the server process reads from its environment. Everything has a default but DATABASE_URL.
import { z } from 'zod';

const schema = z.object({
  DATABASE_URL: z.string().min(1),
  DATABASE_POOL: z.coerce.number().int().min(1).max(200).default(10),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
});

export type Environment = z.infer<typeof schema>;

/** Throws one error that names every variable that is wrong. */
export function readEnvironment(): Environment {
  const result = schema.safeParse(process.env);
  if (result.success) return result.data;
  throw new Error(
    result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
  );
}
