-- Up Migration
-- Rehearsals of a switch: what was measured, and who writes beside the facade. One that is still
-- `running` without a coordinator was cut short: its hold must be released.
CREATE TABLE banyan.rehearsal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capability text NOT NULL,
  phase text NOT NULL,
  who text NOT NULL,
  why text NOT NULL DEFAULT '',
  status text NOT NULL CHECK (status IN ('running', 'done', 'failed')),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  report jsonb
);
CREATE UNIQUE INDEX one_rehearsal_at_a_time ON banyan.rehearsal (capability) WHERE status = 'running';

-- Down Migration
DROP TABLE banyan.rehearsal;
