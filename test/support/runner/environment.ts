// What a test file finds around it: the process of its worker as it is, with the PostgreSQL of that worker,
// and afterwards the environment variables as they were.
import { flushCompileCache } from 'node:module';

export default class Environment {
  /** Nothing is put into the global object: files import what they use. */
  readonly global = {};
  #variables: NodeJS.ProcessEnv = {};

  /** There is no other context than the process's own. */
  getVmContext(): null {
    return null;
  }

  setup(): Promise<void> {
    const { env } = process;
    this.#variables = { ...env };
    const own = env[`BANYAN_TEST_POSTGRES_${env['JEST_WORKER_ID'] ?? '1'}`];
    if (own !== undefined) env['BANYAN_TEST_POSTGRES'] = own;
    return Promise.resolve();
  }

  teardown(): Promise<void> {
    // What it has compiled is there for the others at once, and not written when the worker ends: Jest
    // gives that half a second, and takes one that needs longer for a leak.
    flushCompileCache();
    for (const name of Object.keys(process.env))
      if (!(name in this.#variables)) Reflect.deleteProperty(process.env, name);
    Object.assign(process.env, this.#variables);
    return Promise.resolve();
  }
}
