-- Up Migration
-- What a database that takes part in a migration holds of ours: all of it in this one schema, which
-- the coordinator owns and drops at the end.

-- Who owns the moving columns, as far as this database knows. Every fence and sequence step locks
-- its row here and refuses a lower epoch, so that a coordinator that wakes up late can do no harm.
CREATE TABLE banyan.ownership (
  capability text PRIMARY KEY,
  epoch bigint NOT NULL,
  owns boolean NOT NULL
);

-- How far a flow that writes here has come, moved in the same transaction as its data. `mode` is
-- what the flow's source owned at that position: everything, or only what stays with it.
CREATE TABLE banyan.checkpoint (
  flow text PRIMARY KEY,
  timeline integer NOT NULL,
  commit_lsn pg_lsn NOT NULL,
  seq integer NOT NULL,
  mode text NOT NULL CHECK (mode IN ('owner', 'guest')),
  barrier bigint NOT NULL DEFAULT 0
);

-- Backfill, one row per table of the mapping; `cursor` is the last key copied, as text.
CREATE TABLE banyan.backfill (
  flow text NOT NULL,
  source_table text NOT NULL,
  stage text NOT NULL CHECK (stage IN ('prune', 'copy', 'done')),
  cursor text[],
  rows bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (flow, source_table)
);

-- Keys that must be read again at the source: a stream event could not be completed by itself.
CREATE TABLE banyan.reread (
  flow text NOT NULL,
  source_table text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (flow, source_table, key)
);

-- Arguments: capability, who owns it, and the columns in question where it is not the whole row.
-- Reads no table, so that the session it refuses needs no right of ours.
CREATE FUNCTION banyan.fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% of %.% refused: % of capability "%" is owned by %', TG_OP, TG_TABLE_SCHEMA,
      TG_TABLE_NAME, CASE TG_ARGV[2] WHEN '' THEN 'the data' ELSE 'column ' || TG_ARGV[2] END,
      TG_ARGV[0], TG_ARGV[1]
    USING ERRCODE = 'BN001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
      HINT = format('Write through %s instead; its changes arrive here by themselves.', TG_ARGV[1]);
END $$;

-- Down Migration
DROP FUNCTION banyan.fence();
DROP TABLE banyan.reread, banyan.backfill, banyan.checkpoint, banyan.ownership;
