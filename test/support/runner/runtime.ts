// How a test file is loaded: by Node itself, into the process and the realm of its worker. Jest's own way
// loads every module anew for every file, which is a third of a run's work, and gives each file an `Error`
// and a `Date` that those of Node's own modules are none of. Ours keep no state outside of objects that are
// handed to them, so that files can share them; what jest-circus knows of a file is loaded anew.
import { createRequire, registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { use, type Globals } from './globals.ts';

const load = createRequire(import.meta.url);
const GLOBALS = new URL('globals.ts', import.meta.url).href;
/** Where jest-circus keeps who listens to a run. */
const LISTENERS = Symbol.for('EVENT_HANDLERS');

registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === '@jest/globals' ? GLOBALS : specifier, context),
});

/** What jest-runner and jest-circus ask of `config.runtime`. */
export default class Runtime {
  unstable_shouldLoadAsEsm(): boolean {
    return true;
  }

  unstable_importModule(file: string): Promise<unknown> {
    return import(pathToFileURL(file).href);
  }

  requireModule(file: string): unknown {
    return load(file);
  }

  requireInternalModule(file: string): unknown {
    Reflect.deleteProperty(globalThis, LISTENERS);
    Reflect.deleteProperty(load.cache, file);
    return load(file);
  }

  setGlobalsForRuntime(globals: Globals): void {
    use(globals);
  }

  /** Positions are those of the source: types are stripped by blanks. */
  getSourceMaps(): null {
    return null;
  }

  getAllCoverageInfoCopy(): undefined {
    return undefined;
  }

  enterTestCode(): void {
    // Jest asks so as to refuse its own objects outside of tests; there are none here.
  }

  leaveTestCode(): void {
    // See above.
  }

  teardown(): void {
    // What is loaded stays for the next file.
  }
}
