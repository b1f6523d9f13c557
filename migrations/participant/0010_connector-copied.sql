-- Up Migration
-- Of a partition of a Debezium connector: up to which place in the WAL it may have left changes out, for the
-- tables have been copied again since: it had forgotten where it was, and begun anew.
ALTER TABLE banyan.log_offset ADD COLUMN copied_lsn pg_lsn;

-- Down Migration
ALTER TABLE banyan.log_offset DROP COLUMN copied_lsn;
