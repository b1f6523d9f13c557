-- Up Migration
CREATE SEQUENCE seq_ord;

CREATE TABLE ord (
  ord_id bigint PRIMARY KEY DEFAULT nextval('seq_ord'),
  cust_id bigint NOT NULL CONSTRAINT fk_ord_cust REFERENCES cust (cust_id),
  ref varchar(64) CONSTRAINT uq_ord_ref UNIQUE,
  ord_sts char(1) NOT NULL DEFAULT 'O' CONSTRAINT ck_ord_sts CHECK (ord_sts IN ('O', 'I', 'P', 'C')),
  cur char(3) NOT NULL,
  tot numeric(18, 2) NOT NULL,
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
  upd_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE INDEX ix_ord_cust ON ord (cust_id);

CREATE TABLE ordl (
  ord_id bigint NOT NULL CONSTRAINT fk_ordl_ord REFERENCES ord (ord_id),
  ln_no smallint NOT NULL,
  prd_id bigint NOT NULL CONSTRAINT fk_ordl_prd REFERENCES prd (prd_id),
  qty integer NOT NULL CONSTRAINT ck_ordl_qty CHECK (qty > 0),
  prc numeric(12, 2) NOT NULL,
  PRIMARY KEY (ord_id, ln_no)
);

CREATE INDEX ix_ordl_prd ON ordl (prd_id);

CREATE SEQUENCE seq_stkmv;

-- Stock movements: O(rder), C(ancelled order), R(eceipt), B(atch restock); qty is signed.
CREATE TABLE stkmv (
  stkmv_id bigint PRIMARY KEY DEFAULT nextval('seq_stkmv'),
  prd_id bigint NOT NULL CONSTRAINT fk_stkmv_prd REFERENCES prd (prd_id),
  ord_id bigint CONSTRAINT fk_stkmv_ord REFERENCES ord (ord_id),
  mv_typ char(1) NOT NULL CONSTRAINT ck_stkmv_typ CHECK (mv_typ IN ('O', 'C', 'R', 'B')),
  qty integer NOT NULL,
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE INDEX ix_stkmv_prd ON stkmv (prd_id);

-- Down Migration
DROP TABLE stkmv;
DROP SEQUENCE seq_stkmv;
DROP TABLE ordl;
DROP TABLE ord;
DROP SEQUENCE seq_ord;
