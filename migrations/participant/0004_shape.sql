-- Up Migration
-- What a source table looked like when its copy began: its number in the source's catalog, and the
-- types of the mapped columns. A table that looks different by now has values that no stream told of.
ALTER TABLE banyan.backfill ADD COLUMN shape jsonb;

-- Down Migration
ALTER TABLE banyan.backfill DROP COLUMN shape;
