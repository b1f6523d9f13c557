-- Up Migration
-- Changes that could not be applied, and those of the same rows that came after them and wait: the
-- dead letters of a flow, in source order. Written in the transaction that passes them by.
CREATE TABLE banyan.parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  flow text NOT NULL,
  source_table text NOT NULL,
  -- The keys that the change concerns, as the target writes them: one, or two where it moved.
  keys jsonb NOT NULL,
  change jsonb NOT NULL,
  mode text NOT NULL CHECK (mode IN ('owner', 'guest')),
  position text NOT NULL,
  committed_at timestamptz NOT NULL,
  -- Null for one that only waits behind another.
  error text,
  attempts integer NOT NULL DEFAULT 1,
  parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Set to have it tried again.
  retry boolean NOT NULL DEFAULT false
);
CREATE INDEX parked_by_flow ON banyan.parked (flow, id);

-- Down Migration
DROP TABLE banyan.parked;
