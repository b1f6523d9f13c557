-- Up Migration
-- Flows that a human has paused, and what each flow has parked and keeps its source from forgetting.
ALTER TABLE banyan.flow
  ADD COLUMN parked bigint NOT NULL DEFAULT 0,
  ADD COLUMN retained_bytes bigint;

CREATE TABLE banyan.flow_pause (
  capability text PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  who text NOT NULL,
  why text NOT NULL DEFAULT ''
);

-- Down Migration
DROP TABLE banyan.flow_pause;
ALTER TABLE banyan.flow DROP COLUMN retained_bytes, DROP COLUMN parked;
