-- Up Migration
-- A write canary: both sides write what moves, and the owner judges what the service wrote.
ALTER TABLE banyan.ownership ADD COLUMN shared boolean NOT NULL DEFAULT false;
ALTER TABLE banyan.checkpoint DROP CONSTRAINT checkpoint_mode_check;
ALTER TABLE banyan.checkpoint ADD CONSTRAINT checkpoint_mode_check
  CHECK (mode IN ('owner', 'guest', 'sharing owner', 'sharing guest'));
ALTER TABLE banyan.parked DROP CONSTRAINT parked_mode_check;
ALTER TABLE banyan.parked ADD CONSTRAINT parked_mode_check
  CHECK (mode IN ('owner', 'guest', 'sharing owner', 'sharing guest'));

-- At the owner: every change of the service that met another row than its client saw, and what became
-- of it. Written in the transaction that has the effect.
CREATE TABLE banyan.conflict (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  flow text NOT NULL,
  -- Table of the service that was written, and the owner's table and key.
  source_table text NOT NULL,
  owner_table text NOT NULL,
  key jsonb NOT NULL,
  -- insert, update or delete
  operation text NOT NULL,
  -- different, missing, exists, unique, foreign key, incomplete
  reason text NOT NULL,
  policy text NOT NULL,
  verdict text NOT NULL CHECK (verdict IN ('owner', 'service')),
  owner_row jsonb,
  incoming_row jsonb,
  before_row jsonb,
  -- When the owner's row was written, where that is known.
  owner_at timestamptz,
  incoming_at timestamptz NOT NULL,
  position text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX conflict_by_flow ON banyan.conflict (flow, id);

-- At the owner: resets that the service has not taken yet.
CREATE TABLE banyan.awaited (
  flow text NOT NULL,
  source_table text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (flow, source_table, key)
);

-- At the owner, for the last writer to be known: rows that were deleted, and when.
CREATE TABLE banyan.tombstone (
  capability text NOT NULL,
  owner_table text NOT NULL,
  key text[] NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (capability, owner_table, key)
);
CREATE INDEX tombstone_by_time ON banyan.tombstone (at);

-- At the service: rows that clients have changed and the owner has not judged yet, by the transaction.
CREATE TABLE banyan.flight (
  capability text NOT NULL,
  source_table text NOT NULL,
  key text[] NOT NULL,
  xid bigint NOT NULL,
  PRIMARY KEY (capability, source_table, key, xid)
);
CREATE INDEX flight_by_xid ON banyan.flight (capability, xid);

-- Rows that are removed all at once cannot be judged one by one.
CREATE FUNCTION banyan.refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE of %.% refused: both sides of capability "%" write it', TG_TABLE_SCHEMA,
      TG_TABLE_NAME, TG_ARGV[0]
    USING ERRCODE = 'BN001', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
      HINT = 'Delete the rows instead, or truncate once only one side writes.';
END $$;

-- Down Migration
DROP FUNCTION banyan.refuse_truncate();
DROP TABLE banyan.flight, banyan.tombstone, banyan.awaited, banyan.conflict;
ALTER TABLE banyan.parked DROP CONSTRAINT parked_mode_check;
ALTER TABLE banyan.parked ADD CONSTRAINT parked_mode_check CHECK (mode IN ('owner', 'guest'));
ALTER TABLE banyan.checkpoint DROP CONSTRAINT checkpoint_mode_check;
ALTER TABLE banyan.checkpoint ADD CONSTRAINT checkpoint_mode_check CHECK (mode IN ('owner', 'guest'));
ALTER TABLE banyan.ownership DROP COLUMN shared;
