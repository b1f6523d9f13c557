// Public entry point `banyan`: what a team's configuration file imports.
export { defineMigration, env } from './define.ts';
export type { Migration, MigrationInput } from './definition.ts';
export { concat, custom, lookup, pack, rename, scale, split, unpack, values } from './lenses.ts';
export type { Lens, WideLens } from './lenses.ts';
export type { Conflict, ConflictRow, Verdict } from './domain/conflicts.ts';
