#!/usr/bin/env node
// The `banyan` command. It only sees to it that the Node that runs it can: the rest is loaded after that.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major === 22 ? minor < 18 : major < 24) {
  process.stderr.write(
    `[USAGE] this is Node ${process.versions.node}; banyan needs 22.18, 24 or newer\n`,
  );
  process.exitCode = 2;
} else {
  if (process.argv.some((one) => one === 'facade' || one === 'up'))
    (await import('./one-core.ts')).restartForOneCore();
  const { run } = await import('./program.ts');
  await run();
}
