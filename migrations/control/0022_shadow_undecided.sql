-- Up Migration
-- Of the dropped: a difference was seen, and neither proven nor excused.
ALTER TABLE banyan.shadow_sample ADD COLUMN undecided bigint NOT NULL DEFAULT 0;

-- Down Migration
ALTER TABLE banyan.shadow_sample DROP COLUMN undecided;
