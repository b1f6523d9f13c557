-- Up Migration
-- A write canary: while `shared`, both sides are open, and cohorts write to the service. A switch says
-- whether they will once it has flipped.
ALTER TABLE banyan.capability ADD COLUMN shared boolean NOT NULL DEFAULT false;
ALTER TABLE banyan.switch ADD COLUMN shared boolean NOT NULL DEFAULT false;

-- Down Migration
ALTER TABLE banyan.switch DROP COLUMN shared;
ALTER TABLE banyan.capability DROP COLUMN shared;
