-- Up Migration
-- When a run began: what it compared before the rows were copied again says nothing of them.
ALTER TABLE banyan.verify_run ADD COLUMN began_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE banyan.verify_run SET began_at = at;

-- Down Migration
ALTER TABLE banyan.verify_run DROP COLUMN began_at;
