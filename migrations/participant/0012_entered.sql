-- Up Migration
-- The tables that a capability entered with, as `schema.table`; unknown of one that entered before.
ALTER TABLE banyan.ownership ADD COLUMN tables text[];

-- Down Migration
ALTER TABLE banyan.ownership DROP COLUMN tables;
