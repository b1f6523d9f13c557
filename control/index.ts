// Public entry point `banyan`: what a team's configuration file imports.
export { defineMigration, env } from './define.ts';
export type { Migration, MigrationInput } from './definition.ts';
export { rename, scale, values } from './lenses.ts';
export type { Lens } from './lenses.ts';
export type { Conflict, ConflictRow, Verdict } from './domain/conflicts.ts';
