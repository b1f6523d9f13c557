// A folder for what a command leaves on the way, and whether anything of it is still there at the end.
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from '@jest/globals';
import { waitFor } from '../../core/lifecycle.ts';
import { processesWith, startBanyan, type Running } from './command.ts';

export interface StrayFolder {
  /** Starts the command with the folder as its temporary one, whose name marks its processes, and waits until it says so. */
  start(
    args: readonly string[],
    moment: string,
    environment?: Readonly<Record<string, string>>,
  ): Promise<Running>;
  /** Neither a process nor a file. */
  nothingLeft(): Promise<void>;
  remove(): void;
}

export function strayFolder(): StrayFolder {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-interrupt-'));
  // Like /tmp itself: as root, PostgreSQL runs as somebody else, who makes and removes his folder there.
  chmodSync(folder, 0o1777);
  return {
    start: async (args, moment, environment = {}) => {
      const running = startBanyan([...args], { ...environment, TMPDIR: folder });
      await running.says(moment, 60_000);
      expect(processesWith(folder).length).toBeGreaterThan(0);
      return running;
    },
    nothingLeft: async () => {
      await waitFor(() => processesWith(folder).length === 0, {
        timeoutMs: 60_000,
        what: 'every process to end',
      }).catch(() => undefined);
      expect(processesWith(folder)).toEqual([]);
      expect(readdirSync(folder)).toEqual([]);
    },
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
