-- Up Migration
-- About how many bytes a relay has written since its process started, and what it has last told the source
-- that the brokers have.
ALTER TABLE banyan.relay ADD COLUMN bytes bigint NOT NULL DEFAULT 0, ADD COLUMN confirmed pg_lsn;

-- Down Migration
ALTER TABLE banyan.relay DROP COLUMN bytes, DROP COLUMN confirmed;
