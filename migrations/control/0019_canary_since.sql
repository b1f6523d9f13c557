-- Up Migration
-- What counts of a canary's answers begins when it gets its first share: what was counted before traffic was
-- taken back says nothing of a service that has been mended since.
CREATE OR REPLACE FUNCTION banyan.note_phase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.phase <> OLD.phase OR (OLD.weight = 0 AND NEW.weight > 0) THEN
    NEW.phase_version := NEW.version;
  END IF;
  RETURN NEW;
END $$;

-- What is kept between two looks has another form now; the step's test begins anew.
UPDATE banyan.rollout SET watch = NULL;

-- Down Migration
UPDATE banyan.rollout SET watch = NULL;
CREATE OR REPLACE FUNCTION banyan.note_phase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.phase <> OLD.phase THEN
    NEW.phase_version := NEW.version;
  END IF;
  RETURN NEW;
END $$;
