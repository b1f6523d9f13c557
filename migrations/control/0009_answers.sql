-- Up Migration
-- How both paths answered while both were there: what facades counted, by the version of the state that
-- it was counted under, so that each step of a canary has figures of its own.

CREATE TABLE banyan.answer (
  capability text NOT NULL,
  version bigint NOT NULL,
  route text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('read', 'write')),
  path text NOT NULL CHECK (path IN ('monolith', 'service')),
  answered bigint NOT NULL,
  failed bigint NOT NULL,
  -- Counts in buckets of latency.
  latencies bigint[] NOT NULL,
  PRIMARY KEY (capability, version, route, kind, path)
);

-- The version with which the present phase began.
ALTER TABLE banyan.capability ADD COLUMN phase_version bigint NOT NULL DEFAULT 0;

CREATE FUNCTION banyan.note_phase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.phase <> OLD.phase THEN
    NEW.phase_version := NEW.version;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER note_phase BEFORE UPDATE ON banyan.capability
  FOR EACH ROW EXECUTE FUNCTION banyan.note_phase();

-- Down Migration
DROP TRIGGER note_phase ON banyan.capability;
DROP FUNCTION banyan.note_phase();
ALTER TABLE banyan.capability DROP COLUMN phase_version;
DROP TABLE banyan.answer;
