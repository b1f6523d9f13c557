// No false alarm under a steady load: a few seconds of it by default, `npm run soak:verify` for the
// five minutes at 2 000 writes a second that are promised (`SOAK_S=60` for another length).
import { expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { connect } from '../core/postgres/connect.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { equal, startSync, streaming } from '../test/support/sync.ts';
import type { ChangeLog } from './change-log.ts';
import { verify } from './verify.ts';

const SECONDS = Number(process.env['SOAK_S'] ?? 4);
const WRITES_PER_SECOND = 2_000;
const TICK_MS = 20;
const PER_TICK = (WRITES_PER_SECOND * TICK_MS) / 1_000;
const ROWS = 20_000;
const LATE_MS = 150;

/** Updates, inserts and deletes at a steady rate; gives how many rows were written a second. */
async function write(pair: Pair, signal: AbortSignal): Promise<number> {
  const client = await connect(pair.monolithAppUrl, SESSION);
  const began = performance.now();
  let written = 0;
  let tick = 0;
  try {
    for (; !signal.aborted; tick++) {
      const at = (tick * 7_919 * PER_TICK) % ROWS;
      const half = PER_TICK / 2;
      const { rows } = await client.query<{ n: number }>(
        `WITH updated AS (UPDATE prd SET nm = 'n' || $1::int, prc = $1::int % 1000, dsc = repeat('t', $1::int % 9) WHERE prd_id > $2::int AND prd_id <= $2::int + $3::int RETURNING 1),
              deleted AS (DELETE FROM prd WHERE no IN (SELECT 'T' || $1::int - 50 || '-' || i FROM generate_series(1, $3::int / 2) i) RETURNING 1),
              inserted AS (INSERT INTO prd (no, nm, prc) SELECT 'T' || $1::int || '-' || i, 'new', 1 FROM generate_series(1, $3::int / 2) i RETURNING 1)
         SELECT ((SELECT count(*) FROM updated) + (SELECT count(*) FROM deleted) + (SELECT count(*) FROM inserted))::int AS n`,
        [tick, at, half],
      );
      written += rows[0]?.n ?? 0;
      await sleep(Math.max(0, began + (tick + 1) * TICK_MS - performance.now()));
    }
  } finally {
    await client.end();
  }
  return written / ((performance.now() - began) / 1_000);
}

/** A flow that is always a little behind: without that, hardly a row would be in flight. */
function late(log: ChangeLog): ChangeLog {
  return {
    timeline: log.timeline,
    acknowledge: (lsn) => {
      log.acknowledge(lsn);
    },
    close: () => log.close(),
    read: async (signal) => {
      const pieces = await log.read(signal);
      await sleep(LATE_MS, signal);
      return signal.aborted ? [] : pieces;
    },
  };
}

test(
  `raises no false alarm in ${SECONDS} s at ${WRITES_PER_SECOND} writes a second`,
  async () => {
    const pair = await createPair();
    const sync = startSync(pair, { chunkRows: 5_000, wrapLog: late });
    const over = new AbortController();
    try {
      await pair.monolith.query(
        `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', 1 FROM generate_series(1, $1::int) i`,
        [ROWS],
      );
      await pair.coordinator().move({ capability: 'catalog', event: 'advance' });
      await streaming(pair, 'to');
      const capability = pair.migration.capabilities['catalog'];
      const [monolith, service] = [
        pair.connections.monolith.database,
        pair.connections.services['catalog']?.database,
      ];
      if (!capability || !monolith || !service) throw new Error('no capability');
      const writing = write(pair, over.signal);
      const until = performance.now() + SECONDS * 1_000;
      let passes = 0;
      let suspects = 0;
      for (; performance.now() < until || suspects === 0; passes++) {
        const outcome = await verify({
          ...{ id: 'catalog', capability, monolith, service },
          onProgress: (progress) => {
            if (progress.doing === 'settle') suspects += progress.suspects;
          },
        });
        expect(outcome).toMatchObject({ missing: 0, extra: 0, different: 0, samples: [] });
      }
      over.abort();
      const rate = await writing;
      if (process.env['SOAK_S'] !== undefined)
        process.stdout.write(
          `${passes} verifications in ${SECONDS} s at ${Math.round(rate)} writes/s: no false alarm; ${suspects} rows in flight were looked at again\n`,
        );
      expect(suspects).toBeGreaterThan(0);
      await streaming(pair, 'to');
      await equal(pair);
    } finally {
      over.abort();
      await sync.stop();
      await pair.close();
    }
  },
  SECONDS * 1_000 + 120_000,
);
