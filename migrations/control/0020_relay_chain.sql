-- Up Migration
-- What the next transaction of a source comes behind, as its relay last knew it: where retention has emptied
-- the topic meanwhile, nothing else says that nobody has missed anything.
ALTER TABLE banyan.relay ADD COLUMN chain text;

-- Down Migration
ALTER TABLE banyan.relay DROP COLUMN chain;
