-- Up Migration
-- By which mapping a verification compared, and a flow runs: its fingerprint. What was found equal by one
-- mapping says nothing of another.
ALTER TABLE banyan.verify_run ADD COLUMN mapping text;
ALTER TABLE banyan.flow ADD COLUMN mapping text;

-- Down Migration
ALTER TABLE banyan.flow DROP COLUMN mapping;
ALTER TABLE banyan.verify_run DROP COLUMN mapping;
