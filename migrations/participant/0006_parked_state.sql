-- Up Migration
-- What PostgreSQL called the refusal: some pass by themselves, and are tried again.
ALTER TABLE banyan.parked ADD COLUMN sql_state text;

-- Down Migration
ALTER TABLE banyan.parked DROP COLUMN sql_state;
