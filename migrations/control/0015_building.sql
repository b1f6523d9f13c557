-- Up Migration
-- Set while a move builds in the databases what its phase needs, before the phase is changed; cleared by
-- whatever changes the state next. Whoever finds it set and is alone with the capability knows that such a
-- move was cut short.
ALTER TABLE banyan.capability ADD COLUMN building boolean NOT NULL DEFAULT false;

-- Down Migration
ALTER TABLE banyan.capability DROP COLUMN building;
