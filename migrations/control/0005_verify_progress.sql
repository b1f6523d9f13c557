-- Up Migration
-- A verification under way, one a capability: how far each of its walks over a table has come, and the
-- rows that looked different so far. One that was interrupted can go on from here.
CREATE TABLE banyan.verify_progress (
  capability text PRIMARY KEY,
  -- Tells this run from one that has taken its place.
  run uuid NOT NULL,
  -- What was compared with what, and since which move: nothing of it counts when that has changed.
  definition text NOT NULL,
  era text NOT NULL,
  saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE banyan.verify_step (
  capability text NOT NULL REFERENCES banyan.verify_progress ON DELETE CASCADE,
  step text NOT NULL,
  -- The last key that is finished, as text.
  cursor text[],
  rows bigint NOT NULL,
  done boolean NOT NULL,
  PRIMARY KEY (capability, step)
);

CREATE TABLE banyan.verify_suspect (
  capability text NOT NULL REFERENCES banyan.verify_progress ON DELETE CASCADE,
  source_table text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (capability, source_table, key)
);

-- Down Migration
DROP TABLE banyan.verify_suspect, banyan.verify_step, banyan.verify_progress;
