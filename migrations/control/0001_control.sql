-- Up Migration
-- The control database: one row per capability that every process watches, the journal of all
-- moves, and the evidence that gates ask for.

CREATE TABLE banyan.capability (
  capability text PRIMARY KEY,
  phase text NOT NULL DEFAULT 'monolith'
    CHECK (phase IN ('monolith', 'sync', 'shadow', 'canary', 'cutover', 'retired')),
  weight numeric(5, 2) NOT NULL DEFAULT 0 CHECK (weight BETWEEN 0 AND 100),
  holding boolean NOT NULL DEFAULT false,
  epoch bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 1,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE banyan.journal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capability text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  who text NOT NULL,
  event text NOT NULL,
  from_phase text NOT NULL,
  to_phase text NOT NULL,
  why text NOT NULL DEFAULT '',
  evidence jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX journal_by_capability ON banyan.journal (capability, id);

-- One row per switch of ownership; `flipped` is its point of no return.
CREATE TABLE banyan.switch (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capability text NOT NULL,
  from_phase text NOT NULL,
  to_phase text NOT NULL,
  weight numeric(5, 2) NOT NULL DEFAULT 0,
  status text NOT NULL CHECK (status IN ('running', 'flipped', 'done', 'undone')),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
);
CREATE UNIQUE INDEX one_switch_at_a_time ON banyan.switch (capability)
  WHERE status IN ('running', 'flipped');

CREATE TABLE banyan.switch_step (
  switch_id bigint NOT NULL REFERENCES banyan.switch ON DELETE CASCADE,
  seq integer NOT NULL,
  step text NOT NULL,
  epoch bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  evidence jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (switch_id, seq)
);

CREATE TABLE banyan.replica (
  id text PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- "Replica R forwards nothing of capability C that it accepted under a state older than V."
CREATE TABLE banyan.replica_ack (
  replica_id text NOT NULL REFERENCES banyan.replica ON DELETE CASCADE,
  capability text NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (replica_id, capability)
);

CREATE TABLE banyan.flow (
  capability text NOT NULL,
  direction text NOT NULL CHECK (direction IN ('to', 'back')),
  status text NOT NULL,
  error_code text,
  error text,
  position text,
  watermark timestamptz,
  lag_p50_ms double precision,
  lag_p99_ms double precision,
  applied bigint NOT NULL DEFAULT 0,
  backfill jsonb,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (capability, direction)
);

CREATE TABLE banyan.shadow_sample (
  capability text NOT NULL,
  route text NOT NULL,
  compared bigint NOT NULL DEFAULT 0,
  mismatched bigint NOT NULL DEFAULT 0,
  dropped bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (capability, route)
);

CREATE TABLE banyan.shadow_mismatch (
  capability text NOT NULL,
  route text NOT NULL,
  path text NOT NULL,
  count bigint NOT NULL DEFAULT 0,
  example jsonb NOT NULL,
  PRIMARY KEY (capability, route, path)
);

CREATE TABLE banyan.verify_run (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capability text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  rows bigint NOT NULL,
  missing bigint NOT NULL,
  extra bigint NOT NULL,
  different bigint NOT NULL,
  unsettled bigint NOT NULL DEFAULT 0,
  samples jsonb NOT NULL DEFAULT '[]'
);

CREATE FUNCTION banyan.announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('banyan_state', NEW.capability);
  RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE ON banyan.capability
  FOR EACH ROW EXECUTE FUNCTION banyan.announce();

-- Down Migration
DROP TABLE banyan.verify_run, banyan.shadow_mismatch, banyan.shadow_sample, banyan.flow,
  banyan.replica_ack, banyan.replica, banyan.switch_step, banyan.switch, banyan.journal,
  banyan.capability;
DROP FUNCTION banyan.announce();
