-- Up Migration
CREATE TABLE ctry (
  ctry_cd char(2) PRIMARY KEY,
  ctry_nm varchar(60) NOT NULL
);

CREATE TABLE custtyp (
  custtyp char(1) PRIMARY KEY,
  custtyp_nm varchar(40) NOT NULL,
  disc_pct numeric(4, 2) NOT NULL DEFAULT 0
);

CREATE TABLE prdcd (
  prdcd varchar(8) PRIMARY KEY,
  prdcd_nm varchar(60) NOT NULL
);

INSERT INTO ctry (ctry_cd, ctry_nm) VALUES
  ('AT', 'Austria'), ('BE', 'Belgium'), ('CH', 'Switzerland'), ('DE', 'Germany'),
  ('DK', 'Denmark'), ('ES', 'Spain'), ('FI', 'Finland'), ('FR', 'France'), ('GB', 'United Kingdom'),
  ('IE', 'Ireland'), ('IT', 'Italy'), ('LU', 'Luxembourg'), ('NL', 'Netherlands'), ('NO', 'Norway'),
  ('PL', 'Poland'), ('PT', 'Portugal'), ('SE', 'Sweden');

INSERT INTO custtyp (custtyp, custtyp_nm, disc_pct) VALUES
  ('P', 'Private', 0), ('B', 'Business', 3), ('W', 'Wholesale', 8), ('E', 'Employee', 20);

INSERT INTO prdcd (prdcd, prdcd_nm) VALUES
  ('GOOD', 'Physical good'), ('DIGI', 'Digital download'), ('SERV', 'Service'),
  ('GIFT', 'Gift card'), ('SPARE', 'Spare part'), ('BUNDLE', 'Bundle');

-- Down Migration
DROP TABLE prdcd;
DROP TABLE custtyp;
DROP TABLE ctry;
