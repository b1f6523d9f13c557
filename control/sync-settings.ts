// What a team may set of the sync layer; the shape of `sync` in a definition.
import { z } from 'zod';

/** Under `sync` in a definition. */
export const sync = z
  .strictObject({
    /** WAL that a source keeps for one flow at which an alarm is logged; half of the server's own limit raises one too. */
    walAlarmBytes: z.number().int().positive().default(1_073_741_824),
    /** How long a stream or a session may say nothing, although it was asked, before it is connected anew. */
    silenceMs: z.number().int().min(4_000).default(60_000),
  })
  .prefault({});
