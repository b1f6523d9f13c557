-- Up Migration
-- What a write canary makes of the changes of two writers: conflicts judged (way back), and what the
-- owner said of rows that were in flight at the service (way there).
ALTER TABLE banyan.flow
  ADD COLUMN conflicts bigint,
  ADD COLUMN overtaken bigint;

-- Down Migration
ALTER TABLE banyan.flow DROP COLUMN overtaken, DROP COLUMN conflicts;
