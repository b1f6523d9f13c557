import { sayWhatIsSkipped } from './global-setup.ts';

export default async function globalTeardown(): Promise<void> {
  await globalThis.banyanTestRun?.();
  // Again, where the end of a long run is looked at.
  sayWhatIsSkipped();
}
