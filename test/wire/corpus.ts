// All tables by theme.
import type { Case } from './case.ts';
import { CHUNKS } from './cases/chunks.ts';
import { FIELDS } from './cases/fields.ts';
import { HOSTS } from './cases/hosts.ts';
import { LENGTHS } from './cases/lengths.ts';
import { PIPELINES } from './cases/pipelines.ts';
import { REQUEST_LINES } from './cases/request-lines.ts';
import { TARGETS } from './cases/targets.ts';

export const CASES: Readonly<Record<string, readonly Case[]>> = {
  'request lines': REQUEST_LINES,
  hosts: HOSTS,
  targets: TARGETS,
  fields: FIELDS,
  lengths: LENGTHS,
  chunks: CHUNKS,
  pipelines: PIPELINES,
};
