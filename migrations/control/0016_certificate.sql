-- Up Migration
-- What a certificate tells of a switch, kept with the switch itself: the journal's line that it began with,
-- the comparison of both sides that was the last by then, and which settings the capability had.
ALTER TABLE banyan.switch ADD COLUMN journal_id bigint, ADD COLUMN verify_id bigint,
  ADD COLUMN definition text;

-- Writes that a replica held back, by the version of the state that began the hold; counted once they
-- have left.
CREATE TABLE banyan.held (
  capability text NOT NULL,
  version bigint NOT NULL,
  replica_id text NOT NULL,
  writes bigint NOT NULL,
  longest_ms double precision NOT NULL,
  PRIMARY KEY (capability, version, replica_id)
);

-- Down Migration
DROP TABLE banyan.held;
ALTER TABLE banyan.switch DROP COLUMN journal_id, DROP COLUMN verify_id, DROP COLUMN definition;
