-- Up Migration
-- Evidence counts from the moment a shadow phase began. A facade that was cut off may report later
-- what it counted in an earlier one: such counts carry an older version of the capability's state.

CREATE TABLE banyan.shadow_since (
  capability text PRIMARY KEY,
  version bigint NOT NULL
);

ALTER TABLE banyan.shadow_sample ADD COLUMN noise bigint NOT NULL DEFAULT 0;

-- Down Migration
ALTER TABLE banyan.shadow_sample DROP COLUMN noise;
DROP TABLE banyan.shadow_since;
