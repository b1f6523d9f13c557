-- Up Migration
-- Where a flow goes on in a log that is not the slot itself, one row per partition of each topic it
-- reads: the offset of the next record, and the position of the last one that had its effect, or of its
-- part where a change is several records. Moved with the checkpoint, in the same transaction as the data;
-- they win over the consumer group's.
CREATE TABLE banyan.log_offset (
  flow text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL,
  timeline integer NOT NULL,
  commit_lsn pg_lsn NOT NULL,
  seq integer NOT NULL,
  part integer NOT NULL,
  PRIMARY KEY (flow, topic, partition)
);

-- Down Migration
DROP TABLE banyan.log_offset;
